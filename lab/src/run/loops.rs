//! Symbolic links that could be followed for ever.
//!
//! From a link's target one can go down to any directory below it and follow a link found there. So link `a` leads to
//! link `b` when `b` lies at or below the target of `a`, and a link is endless when it lies on a cycle of that
//! relation. As in Kahn's topological sort ("Topological sorting of large networks", CACM 1962), links with no way
//! on, and links that no other leads to, are struck out until none is left to strike; what remains lies on cycles, or
//! between two of them.

use std::path::{Path, PathBuf};

/// A symbolic link: where it lies and where it leads, both without further links in them.
pub struct Link {
    pub path: PathBuf,
    pub directory: PathBuf,
    pub target: PathBuf,
}

/// Those of `links` that could be followed for ever.
pub fn endless(mut links: Vec<Link>) -> Vec<Link> {
    loop {
        let before = links.len();
        let places = sorted(links.iter().map(|link| link.directory.clone()));
        links.retain(|link| any_below(&places, &link.target));
        let targets = sorted(links.iter().map(|link| link.target.clone()));
        links.retain(|link| {
            link.directory.ancestors().any(|above| targets.binary_search_by(|t| t.as_path().cmp(above)).is_ok())
        });
        if links.len() == before {
            return links;
        }
    }
}

fn sorted(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut paths: Vec<_> = paths.collect();
    paths.sort_unstable();
    paths
}

/// Whether one of the sorted `paths` is `top` or lies below it: paths compare part by part, so those follow `top` at
/// once.
fn any_below(paths: &[PathBuf], top: &Path) -> bool {
    let first = paths.partition_point(|path| path.as_path() < top);
    paths.get(first).is_some_and(|path| path.starts_with(top))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless_names(links: &[(&str, &str)]) -> Vec<String> {
        let link = |&(path, target): &(&str, &str)| Link {
            path: path.into(),
            directory: Path::new(path).parent().unwrap().into(),
            target: target.into(),
        };
        endless(links.iter().map(link).collect()).iter().map(|link| link.path.display().to_string()).collect()
    }

    #[test]
    fn a_link_to_a_directory_above_is_endless() {
        assert_eq!(endless_names(&[("/t/a/up", "/t"), ("/t/self", "/t"), ("/t/a/here", "/t/a")]).len(), 3);
    }

    #[test]
    fn two_directories_that_link_to_each_other_are_endless() {
        assert_eq!(endless_names(&[("/t/a/x", "/t/b"), ("/t/b/y", "/t/a")]).len(), 2);
    }

    #[test]
    fn links_across_and_out_of_the_tree_end() {
        assert!(
            endless_names(&[
                ("/t/a/x", "/t/b"),
                ("/t/c/y", "/t/a"),
                ("/t/b/out", "/elsewhere"),
                ("/t/b/file", "/t/c/file")
            ])
            .is_empty()
        );
    }

    #[test]
    fn a_link_that_only_leads_to_a_loop_is_none() {
        assert_eq!(endless_names(&[("/t/a/up", "/t/a"), ("/t/b/to", "/t/a")]), ["/t/a/up"]);
    }

    #[test]
    fn names_that_only_begin_alike_are_not_below() {
        assert!(endless_names(&[("/t/ab/x", "/t/a")]).is_empty());
    }
}
