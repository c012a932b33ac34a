//! For how much of the time tasks wait for memory, as Linux tells of a control group or of the machine
//! ([pressure stall information](https://docs.kernel.org/accounting/psi.html)):
//!
//! ```text
//! some avg10=1.53 avg60=0.87 avg300=0.24 total=1846213
//! full avg10=0.12 avg60=0.05 avg300=0.01 total=402118
//! ```

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::str;

/// Both lines with all their numbers as long as they get have 150 bytes.
const LONGEST: usize = 256;

/// A file that tells.
#[derive(Debug)]
pub(crate) struct Psi(File);

/// Percent of the last ten seconds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Stalls {
    /// In which some task waited.
    pub(crate) some: f32,
    /// In which all did that had something to do.
    pub(crate) full: f32,
}

impl Psi {
    /// What is told of this process' own control group or else of the machine, in a file system with this root. Kept open,
    /// for a process may leave that file system, as into a sandbox.
    pub(crate) fn open(root: &Path) -> Option<Self> {
        let of_machine = root.join("proc/pressure/memory");
        let files = super::cgroup::pressure_files(root).into_iter().chain([of_machine]);
        let opened = files.filter_map(|file| File::open(file).ok()).map(Psi);
        // A kernel may have the file and be told not to measure.
        opened.into_iter().find(|psi| psi.read().is_some())
    }

    /// `None`: nothing is told, or nothing that can be understood.
    pub(crate) fn read(&self) -> Option<Stalls> {
        let mut content = [0; LONGEST];
        let len = self.0.read_at(&mut content, 0).ok()?;
        parse(&content[..len])
    }
}

fn parse(content: &[u8]) -> Option<Stalls> {
    let share = |kind: &[u8]| content.split(|&byte| byte == b'\n').find_map(|line| share_in(line.strip_prefix(kind)?));
    let (some, full) = (share(b"some "), share(b"full "));
    let (full, some) = (full.unwrap_or(0.0), some.or(full)?);
    Some(Stalls { some: some.max(full), full })
}

/// The share of the last ten seconds in the fields of one line.
fn share_in(fields: &[u8]) -> Option<f32> {
    let share = fields.split(|&byte| byte == b' ').find_map(|field| field.strip_prefix(b"avg10="))?;
    let share = str::from_utf8(share).ok()?.trim_end().parse().ok()?;
    // Whatever is no share of a time, as a NaN, is not understood.
    (0.0..=100.0).contains(&share).then_some(share)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::cgroup::tests::Root;
    use super::*;

    fn stalls(some: f32, full: f32) -> Option<Stalls> {
        Some(Stalls { some, full })
    }

    #[test]
    fn the_shares_of_the_last_ten_seconds_count() {
        let told = b"some avg10=1.53 avg60=2.00 avg300=3.00 total=18\nfull avg10=0.12 avg60=4.00 avg300=5.00 total=4\n";
        assert_eq!(parse(told), stalls(1.53, 0.12));
        let most = b"some avg10=100.00 avg60=100.00 avg300=100.00 total=18446744073709551615\n\
            full avg10=100.00 avg60=100.00 avg300=100.00 total=18446744073709551615\n";
        assert_eq!(parse(most), stalls(100.0, 100.0));
        assert!(most.len() <= LONGEST);
    }

    #[test]
    fn lines_and_fields_may_be_missing_and_come_in_any_order() {
        assert_eq!(parse(b"some avg10=1.00"), stalls(1.0, 0.0));
        assert_eq!(parse(b"full avg10=1.00"), stalls(1.0, 1.0));
        assert_eq!(parse(b"full avg10=1.00\nsome avg10=2.00"), stalls(2.0, 1.0));
        assert_eq!(parse(b"\n\nsome total=5 avg10=3\n"), stalls(3.0, 0.0));
        assert_eq!(parse(b"half avg10=9.00\nsome avg10=1.00 avg1=7.00\nother"), stalls(1.0, 0.0));
        assert_eq!(parse(b"some avg10=1.00\r\nfull avg10=0.50\r\n"), stalls(1.0, 0.5));
        // All wait only when some do.
        assert_eq!(parse(b"some avg10=1.00\nfull avg10=2.00\n"), stalls(2.0, 2.0));
    }

    const GARBAGE: [&[u8]; 16] = [
        b"",
        b"\n",
        b"\0\0\0",
        b"\xff\xfe avg10=1.00",
        b"some",
        b"some ",
        b"some avg10=",
        b"some avg10=\xff",
        b"some avg10=x full avg10=y",
        b"some avg10=-1.00",
        b"some avg10=100.01",
        b"some avg10=1e300",
        b"some avg10=inf",
        b"some avg10=NaN",
        b"some avg60=1.00 total=3",
        b"avg10=5.00",
    ];

    #[test]
    fn garbage_tells_nothing() {
        for garbage in GARBAGE {
            assert_eq!(parse(garbage), None, "{garbage:?}");
            let beside = [garbage, b"\nfull avg10=2.00\n"].concat();
            assert_eq!(parse(&beside), stalls(2.0, 2.0), "{garbage:?}");
        }
    }

    const TOLD: [&[u8]; 3] = [b"some avg10=1.00\n", b"some avg10=2.00\n", b"some avg10=3.00\n"];

    fn some(test: &str, files: &[(&str, &[u8])]) -> Option<f32> {
        Psi::open(&Root::new(test, files).0).and_then(|psi| psi.read()).map(|stalls| stalls.some)
    }

    #[test]
    fn the_own_group_comes_before_the_machine() {
        let [group, above, machine] = TOLD;
        let files: [(&str, &[u8]); 4] = [
            ("proc/self/cgroup", b"0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.pressure", group),
            ("sys/fs/cgroup/a/memory.pressure", above),
            ("proc/pressure/memory", machine),
        ];
        assert_eq!(some("psi-group", &files), Some(1.0));
        assert_eq!(some("psi-machine", &files[2..]), Some(3.0));
        assert_eq!(some("psi-nothing", &files[..1]), None);
        assert!(Psi::open(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn version_2_may_be_mounted_beside_version_1() {
        let files: [(&str, &[u8]); 4] = [
            ("proc/self/cgroup", b"4:memory:/c\n0::/a\n"),
            ("sys/fs/cgroup/memory/c/memory.limit_in_bytes", b"1\n"),
            ("sys/fs/cgroup/unified/a/memory.pressure", TOLD[0]),
            ("proc/pressure/memory", TOLD[2]),
        ];
        assert_eq!(some("psi-hybrid", &files), Some(1.0));
    }

    #[test]
    fn a_container_has_its_group_at_the_mount() {
        let files: [(&str, &[u8]); 3] = [
            ("proc/self/cgroup", b"0::/docker/0123\n"),
            ("sys/fs/cgroup/memory.pressure", TOLD[0]),
            ("proc/pressure/memory", TOLD[2]),
        ];
        assert_eq!(some("psi-container", &files), Some(1.0));
    }

    #[test]
    fn a_group_that_measures_nothing_is_passed_over() {
        let files: [(&str, &[u8]); 2] = [("sys/fs/cgroup/memory.pressure", b""), ("proc/pressure/memory", TOLD[2])];
        assert_eq!(some("psi-disabled", &files), Some(3.0));
    }
}
