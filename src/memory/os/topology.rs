//! Which nodes a machine has, and on which of them a thread runs.
//!
//! A *bank* is the memory of a node that has processors, by a number without gaps. A node without any is nobody's own, so
//! it is no bank. Whatever cannot be read or understood is one bank: so is every system but Linux.

#[cfg(all(target_os = "linux", not(miri)))]
use std::fs;
#[cfg(all(target_os = "linux", not(miri)))]
use std::path::Path;
use std::sync::OnceLock;

/// More nodes than any machine has that anybody sells. What would be another bank is the first one's.
pub(crate) const MAX_BANKS: usize = 64;

/// Numbers beyond are garbage.
#[cfg(all(target_os = "linux", not(miri)))]
const MOST_CPUS: usize = 1 << 16;

/// The memory of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bank(pub(crate) u8);

impl Bank {
    pub(crate) const FIRST: Bank = Bank(0);

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Of the node that this thread runs on, a moment ago at least: the system may move it at any time.
    pub(crate) fn here() -> Bank {
        #[cfg(all(test, not(loom)))]
        if let Some(pretended) = pretended::get() {
            return pretended.here;
        }
        Topology::of_machine().bank_of(super::platform::cpu_here())
    }

    /// How many the machine has.
    pub(crate) fn count() -> usize {
        #[cfg(all(test, not(loom)))]
        if let Some(pretended) = pretended::get() {
            return pretended.count;
        }
        Topology::of_machine().nodes.len().max(1)
    }

    /// What the system calls its node, if it tells.
    pub(crate) fn node(self) -> Option<u32> {
        Topology::of_machine().nodes.get(self.index()).copied()
    }
}

/// The nodes of a machine, as far as they matter here.
#[derive(PartialEq, Eq, Debug, Default)]
struct Topology {
    /// The node of each bank.
    nodes: Vec<u32>,
    /// The bank of each processor. Those beyond, which have come to a running machine, are of the first.
    bank_of_cpu: Vec<Bank>,
}

impl Topology {
    /// Reads it once, so a machine stays what it was when the first pool asked.
    fn of_machine() -> &'static Self {
        static KNOWN: OnceLock<Topology> = OnceLock::new();
        #[cfg(all(target_os = "linux", not(miri)))]
        return KNOWN.get_or_init(|| Self::below(Path::new("/")));
        #[cfg(not(all(target_os = "linux", not(miri))))]
        KNOWN.get_or_init(Self::default)
    }

    fn bank_of(&self, cpu: Option<usize>) -> Bank {
        cpu.and_then(|cpu| self.bank_of_cpu.get(cpu)).copied().unwrap_or_default()
    }

    /// That of a machine, in a file system with this root.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn below(root: &Path) -> Self {
        let folder = root.join("sys/devices/system/node");
        let list_in = |file: &Path, limit| parse_list(&fs::read(file).ok()?, limit);
        let online = list_in(&folder.join("online"), u32::MAX as usize).unwrap_or_default();
        let mut topology = Topology::default();
        for node in online {
            let cpus = list_in(&folder.join(format!("node{node}/cpulist")), MOST_CPUS).unwrap_or_default();
            if !cpus.is_empty() && topology.nodes.len() < MAX_BANKS {
                topology.add(node as u32, &cpus);
            }
        }
        topology
    }

    /// Adds a node with these processors, ascending.
    #[cfg(all(target_os = "linux", not(miri)))]
    fn add(&mut self, node: u32, cpus: &[usize]) {
        let bank = Bank(self.nodes.len() as u8);
        self.nodes.push(node);
        for &cpu in cpus {
            if cpu >= self.bank_of_cpu.len() {
                self.bank_of_cpu.resize(cpu + 1, Bank::FIRST);
            }
            self.bank_of_cpu[cpu] = bank;
        }
    }
}

/// The numbers of a list like `0-3,8`, as the kernel writes them. `None`: it is garbage.
#[cfg(all(target_os = "linux", not(miri)))]
fn parse_list(content: &[u8], limit: usize) -> Option<Vec<usize>> {
    let text = std::str::from_utf8(content).ok()?.trim();
    let mut numbers = Vec::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= limit || last - first >= MOST_CPUS {
            return None;
        }
        numbers.extend(first..=last);
    }
    Some(numbers)
}

/// Machines that tests would rather be on.
#[cfg(all(test, not(loom)))]
pub(crate) mod pretended {
    use std::cell::Cell;

    use super::Bank;

    #[derive(Clone, Copy)]
    pub(super) struct Pretended {
        pub(super) count: usize,
        pub(super) here: Bank,
    }

    thread_local! {
        static PRETENDED: Cell<Option<Pretended>> = const { Cell::new(None) };
    }

    pub(super) fn get() -> Option<Pretended> {
        PRETENDED.get()
    }

    /// From now on this thread runs on this one of so many banks.
    pub(crate) fn run_on(bank: u8, count: usize) {
        PRETENDED.set(Some(Pretended { count, here: Bank(bank) }));
    }
}

#[cfg(all(test, target_os = "linux", not(loom), not(miri)))]
mod tests {
    use super::super::cgroup::tests::Root;
    use super::*;

    /// Reads a machine with these nodes online and these processors on them.
    fn read(test: &str, online: &[u8], nodes: &[(u32, &str)]) -> Topology {
        let folder = "sys/devices/system/node";
        let lists = Vec::from_iter(nodes.iter().map(|(node, _)| format!("{folder}/node{node}/cpulist")));
        let online_list = format!("{folder}/online");
        let mut files = vec![(&*online_list, online)];
        files.extend(lists.iter().zip(nodes).map(|(file, (_, cpus))| (&**file, cpus.as_bytes())));
        Topology::below(&Root::new(&format!("nodes-{test}"), &files).0)
    }

    fn banks_of(topology: &Topology, cpus: impl IntoIterator<Item = usize>) -> Vec<u8> {
        cpus.into_iter().map(|cpu| topology.bank_of(Some(cpu)).0).collect()
    }

    #[test]
    fn each_processor_has_its_bank() {
        let topology = read("two", b"0-1\n", &[(0, "0-1,4\n"), (1, "2-3\n")]);
        assert_eq!(topology.nodes, [0, 1]);
        assert_eq!(banks_of(&topology, 0..5), [0, 0, 1, 1, 0]);
        assert_eq!(banks_of(&topology, [5, usize::MAX]), [0, 0], "they came later");
        assert_eq!(topology.bank_of(None), Bank::FIRST);
    }

    #[test]
    fn nodes_have_gaps_and_banks_have_none() {
        let topology = read("gaps", b"0,3,8-9\n", &[(0, "0\n"), (3, "7\n"), (8, "1-2\n"), (9, "3,5\n"), (1, "4\n")]);
        assert_eq!(topology.nodes, [0, 3, 8, 9]);
        assert_eq!(banks_of(&topology, 0..8), [0, 2, 2, 3, 0, 3, 0, 1]);
    }

    #[test]
    fn a_node_without_processors_is_no_bank() {
        let topology = read("memory-only", b"0-3\n", &[(0, "\n"), (1, "0-1\n"), (2, ""), (3, "2\n")]);
        assert_eq!(topology.nodes, [1, 3]);
        assert_eq!(banks_of(&topology, 0..3), [0, 0, 1]);
    }

    #[test]
    fn what_is_not_there_or_garbage_is_one_bank() {
        assert_eq!(Topology::below(Path::new("/nowhere")), Topology::default());
        let garbage: [&[u8]; 10] =
            [b"", b"\n", b"\0", b"\xff", b"x", b"0-", b"-1", b"1-0", b"0-99999999999999999999", b"0-4294967295"];
        for (number, online) in garbage.into_iter().enumerate() {
            let topology = read(&format!("garbage-{number}"), online, &[(0, "0\n"), (1, "1\n")]);
            assert_eq!(topology, Topology::default(), "{online:?}");
        }
        for (number, cpus) in ["", "x", "1-", "70000", "3-1"].into_iter().enumerate() {
            let topology = read(&format!("garbage-cpus-{number}"), b"0-1", &[(0, "0\n"), (1, cpus)]);
            assert_eq!((&*topology.nodes, banks_of(&topology, 0..4)), (&[0][..], vec![0; 4]), "{cpus:?}");
        }
    }

    #[test]
    fn there_are_never_too_many_banks() {
        let lists = Vec::from_iter((0..100).map(|node| format!("{node}\n")));
        let nodes = Vec::from_iter(lists.iter().enumerate().map(|(node, cpus)| (node as u32, &**cpus)));
        let topology = read("many", b"0-99\n", &nodes);
        assert_eq!(topology.nodes.len(), MAX_BANKS);
        assert_eq!(banks_of(&topology, [1, 63, 64, 99]), [1, 63, 0, 0]);
    }

    #[test]
    fn this_machine_is_told_of() {
        assert!((1..=MAX_BANKS).contains(&Bank::count()) && Bank::here().index() < Bank::count());
    }
}
