//! What Linux tells of the mapping that an address lies in.
#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;

pub(crate) struct Area {
    lines: Vec<String>,
}

/// The mapping that holds this byte.
#[track_caller]
pub(crate) fn area_of(byte: *const u8) -> Area {
    let told = fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines =
        told.lines().skip_while(|line| !range(line).is_some_and(|(start, end)| (start..end).contains(&byte.addr())));
    let first = lines.next().expect("a byte that is mapped");
    let rest = lines.take_while(|line| range(line).is_none());
    Area { lines: std::iter::once(first).chain(rest).map(String::from).collect() }
}

/// The addresses in the first line of a mapping.
fn range(line: &str) -> Option<(usize, usize)> {
    let (start, end) = line.split(' ').next()?.split_once('-')?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some((number(start)?, number(end)?))
}

impl Area {
    fn field(&self, name: &str) -> &str {
        self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim()
    }

    /// A size, in bytes.
    pub(crate) fn bytes(&self, name: &str) -> usize {
        let size = self.field(name).strip_suffix(" kB").unwrap_or("0");
        size.trim().parse::<usize>().unwrap() << 10
    }

    /// Whether it has a flag of two letters; see proc_pid_smaps(5).
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.field("VmFlags").split(' ').any(|other| other == flag)
    }
}

/// A size of the whole process, in bytes.
pub(crate) fn of_process(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}
