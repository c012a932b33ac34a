//! How much memory the control groups of a process allow it, and where they tell how short it is. A group's limit holds for all that is in the groups below
//! it, too, so the smallest one from a process's group up to the mount counts.
//!
//! Whatever cannot be read or understood limits nothing.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
#[cfg(feature = "pressure")]
use std::path::PathBuf;
use std::path::{Component, Path};
use std::str;

/// A tree of groups, one for each version of the interface. Memory is limited in one of them.
struct Hierarchy {
    /// What `/proc/self/cgroup` calls it: version 2 has one hierarchy for all controllers, and no name.
    controller: &'static [u8],
    mount: &'static str,
    /// A group's files that hold a limit in bytes.
    limits: &'static [&'static str],
}

const HIERARCHIES: [Hierarchy; 2] = [
    // Beyond `memory.max` the system kills. Beyond `memory.high` it halts threads while it takes memory back, and what
    // lies idle in a pool it can at best swap out: a pool that fills a group up to there makes all of it slow.
    Hierarchy { controller: b"", mount: "sys/fs/cgroup", limits: &["memory.max", "memory.high"] },
    // The soft limit says who pays when the machine is short of memory, and is no limit before.
    Hierarchy { controller: b"memory", mount: "sys/fs/cgroup/memory", limits: &["memory.limit_in_bytes"] },
];

/// The bytes that the control groups of this process allow it, in a file system with this root; `None` for no limit.
pub(super) fn memory_limit(root: &Path) -> Option<usize> {
    let membership = fs::read(root.join("proc/self/cgroup")).unwrap_or_default();
    HIERARCHIES.iter().filter_map(|hierarchy| hierarchy.smallest_limit(root, &membership)).min()
}

impl Hierarchy {
    fn smallest_limit(&self, root: &Path, membership: &[u8]) -> Option<usize> {
        let mount = root.join(self.mount);
        group_below(&mount, membership, self.controller)
            .ancestors()
            .filter_map(|group| self.limit_of(&mount.join(group)))
            .min()
    }

    /// What this one group allows.
    fn limit_of(&self, group: &Path) -> Option<usize> {
        self.limits.iter().filter_map(|file| parse_limit(&fs::read(group.join(file)).ok()?)).min()
    }
}

/// Where version 2 may be mounted: alone, or beside version 1.
#[cfg(feature = "pressure")]
const MOUNTS: [&str; 2] = ["sys/fs/cgroup", "sys/fs/cgroup/unified"];

/// Where it may be told for how long tasks of this process' group have waited for memory. Whichever group's limit made them
/// wait, their own group counts it.
#[cfg(feature = "pressure")]
pub(super) fn pressure_files(root: &Path) -> [PathBuf; 2] {
    let membership = fs::read(root.join("proc/self/cgroup")).unwrap_or_default();
    MOUNTS.map(|mount| {
        let mount = root.join(mount);
        mount.join(group_below(&mount, &membership, b"")).join("memory.pressure")
    })
}

/// The process's group, relative to this mount of the hierarchy with this controller.
fn group_below<'a>(mount: &Path, membership: &'a [u8], controller: &[u8]) -> &'a Path {
    let group = group_in(membership, controller).filter(|group| mount.join(group).is_dir());
    // A container may have its own group for the mount's root, and still be told the path from the machine's. No part of
    // that path means anything below such a mount.
    group.unwrap_or(Path::new(""))
}

/// The process's group, relative to the mount of the hierarchy with this controller, from lines `number:controllers:path`.
/// `None` also for a group outside the mount, which has a path like `/../name`.
fn group_in<'a>(membership: &'a [u8], controller: &[u8]) -> Option<&'a Path> {
    let path_in = |line: &'a [u8]| {
        let mut fields = line.splitn(3, |&byte| byte == b':').skip(1);
        let controllers = fields.next()?;
        let path = fields.next()?;
        controllers.split(|&byte| byte == b',').any(|name| name == controller).then_some(path)
    };
    let path = membership.split(|&byte| byte == b'\n').find_map(path_in)?;
    let group = Path::new(OsStr::from_bytes(path)).strip_prefix("/").ok()?;
    group.components().all(|part| matches!(part, Component::Normal(_))).then_some(group)
}

/// A limit in bytes. `None` for `max`, and for a number that is beyond all memory.
fn parse_limit(content: &[u8]) -> Option<usize> {
    str::from_utf8(content).ok()?.trim().parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use std::env;
    use std::path::PathBuf;
    use std::process;

    use super::*;

    /// The root of a made-up file system, deleted in the end.
    pub(crate) struct Root(pub(crate) PathBuf);

    impl Root {
        pub(crate) fn new(test: &str, files: &[(&str, &[u8])]) -> Self {
            let root = Root(env::temp_dir().join(format!("millpond-cgroup-{}-{test}", process::id())));
            for &(file, content) in files {
                let file = root.0.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, content).unwrap();
            }
            root
        }

        fn limit(&self) -> Option<usize> {
            memory_limit(&self.0)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    const MEMBERSHIP: &str = "proc/self/cgroup";

    /// Groups `a`, `a/b` and `a/b/c` of version 2, one limit each, and a process in the innermost.
    fn nested(test: &str, limits: [&[u8]; 3]) -> Option<usize> {
        let [a, b, c] = limits;
        let files = [
            (MEMBERSHIP, &b"0::/a/b/c\n"[..]),
            ("sys/fs/cgroup/a/memory.max", a),
            ("sys/fs/cgroup/a/b/memory.max", b),
            ("sys/fs/cgroup/a/b/c/memory.max", c),
        ];
        Root::new(test, &files).limit()
    }

    #[test]
    fn the_smallest_limit_from_the_group_up_counts() {
        assert_eq!(nested("inner", [b"3000\n", b"2000\n", b"1000\n"]), Some(1000));
        assert_eq!(nested("middle", [b"3000\n", b"1000\n", b"2000\n"]), Some(1000));
        assert_eq!(nested("outer", [b"1000\n", b"3000\n", b"2000\n"]), Some(1000));
    }

    #[test]
    fn max_is_no_limit() {
        assert_eq!(nested("one-max", [b"3000\n", b"max\n", b"max\n"]), Some(3000));
        assert_eq!(nested("all-max", [b"max\n"; 3]), None);
    }

    /// The group above, the one beside and the one below have limits of their own business.
    #[test]
    fn no_other_group_counts() {
        let root = Root::new(
            "others",
            &[
                (MEMBERSHIP, b"0::/a/b\n"),
                ("sys/fs/memory.max", b"1\n"),
                ("sys/fs/cgroup/a/memory.max", b"3000\n"),
                ("sys/fs/cgroup/a/b/c/memory.max", b"2\n"),
                ("sys/fs/cgroup/a/d/memory.max", b"3\n"),
            ],
        );
        assert_eq!(root.limit(), Some(3000));
    }

    #[test]
    fn what_slows_a_group_bounds_it_too() {
        let files: [(&str, &[u8]); 4] = [
            (MEMBERSHIP, b"0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", b"2000\n"),
            ("sys/fs/cgroup/a/b/memory.high", b"max\n"),
            ("sys/fs/cgroup/a/memory.high", b"1000\n"),
        ];
        assert_eq!(Root::new("high", &files).limit(), Some(1000));
        assert_eq!(Root::new("high-max", &files[..3]).limit(), Some(2000));
        let both: [(&str, &[u8]); 3] = [files[0], files[1], ("sys/fs/cgroup/a/b/memory.high", b"2500\n")];
        assert_eq!(Root::new("high-beyond", &both).limit(), Some(2000));
    }

    #[test]
    fn version_1_has_a_hierarchy_for_memory() {
        let membership: &[u8] = b"9:name=systemd:/\n4:cpu,memory:/a/b\n3:cpuset:/c\n0::/a/b\n";
        let files = [
            (MEMBERSHIP, membership),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", b"9223372036854771712\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", b"1000\n"),
            ("sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", b"2000\n"),
            ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", b"1\n"),
        ];
        assert_eq!(Root::new("v1", &files).limit(), Some(1000));
    }

    #[test]
    fn a_group_that_is_not_below_the_mount_has_its_limit_there() {
        // `docker` below the mount is the business of a container inside this container.
        for (test, path) in [("hidden", "/docker/0123"), ("outside", "/../../fs"), ("root", "/")] {
            let membership = format!("4:memory:{path}\n0::{path}\n");
            let mut files: Vec<(&str, &[u8])> = vec![
                (MEMBERSHIP, membership.as_bytes()),
                ("sys/fs/memory.max", b"1\n"),
                ("sys/fs/fs/memory.max", b"1\n"),
                ("sys/fs/cgroup/memory.max", b"2000\n"),
                ("sys/fs/cgroup/docker/memory.max", b"1\n"),
                ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", b"1\n"),
            ];
            assert_eq!(Root::new(test, &files).limit(), Some(2000), "{path}");
            files.push(("sys/fs/cgroup/memory/memory.limit_in_bytes", b"1000\n"));
            assert_eq!(Root::new(test, &files).limit(), Some(1000), "{path}");
        }
    }

    #[test]
    fn missing_files_limit_nothing() {
        assert_eq!(Root::new("no-groups", &[(MEMBERSHIP, b"0::/a\n")]).limit(), None);
        let mount = [("sys/fs/cgroup/memory.max", &b"1000\n"[..])];
        assert_eq!(Root::new("no-proc", &mount).limit(), Some(1000));
        assert_eq!(memory_limit(Path::new("/nowhere")), None);
    }

    #[test]
    fn names_may_be_any_bytes() {
        let name = OsStr::from_bytes(b"a:b\xff");
        let root = Root::new("bytes", &[(MEMBERSHIP, b"0::/a:b\xff\n")]);
        let group = root.0.join("sys/fs/cgroup").join(name);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "1000\n").unwrap();
        assert_eq!(root.limit(), Some(1000));
    }

    const GARBAGE: [&[u8]; 10] = [
        b"",
        b"\n",
        b"\0",
        b"\xff\xfe",
        b"-1\n",
        b"1e3\n",
        b"0x10\n",
        b"12 34\n",
        b"maximum\n",
        b"99999999999999999999\n",
    ];

    #[test]
    fn garbage_limits_nothing() {
        for garbage in GARBAGE {
            assert_eq!(parse_limit(garbage), None, "{garbage:?}");
            assert_eq!(nested("garbage", [b"3000", garbage, b"max"]), Some(3000), "{garbage:?}");
        }
        assert_eq!(parse_limit(b"0\n"), Some(0));
        assert_eq!(parse_limit(format!("{}\n", usize::MAX).as_bytes()), Some(usize::MAX));
    }

    #[test]
    fn garbage_is_no_group() {
        let lines: [&[u8]; 9] = [b"0", b"0:", b"0::", b"0::a", b"::", b":::", b"0:memory", b"\xff::/../a", b"0::/a/.."];
        for membership in GARBAGE.into_iter().chain(lines) {
            assert_eq!(group_in(membership, b""), None, "{membership:?}");
            let root = Root::new("lines", &[(MEMBERSHIP, membership), ("sys/fs/cgroup/memory.max", b"1000")]);
            assert_eq!(root.limit(), Some(1000), "{membership:?}");
        }
        let root = Root::new("nul", &[(MEMBERSHIP, b"0::/a\0b\n"), ("sys/fs/cgroup/memory.max", b"1000")]);
        assert_eq!(root.limit(), Some(1000));
    }
}
