//! What may be asked of memory besides that it is there.

use std::fmt;
use std::io;

/// What becomes of a request where the system refuses an option of [`Memory`](crate::Memory).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Need {
    /// It fails, with an error that names the option and the system's reason.
    Require,
    /// It is served without. [`Stats::memory`](crate::Stats::memory) shows how often.
    Prefer,
}

/// Pages of 2 MiB instead of the usual ones, of which a processor can find more without a walk through tables; see
/// [`Memory::huge_pages`](crate::Memory::huge_pages).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum HugePages {
    /// The system uses them where it finds memory that lies together. It never promises them: what is asked for is that
    /// it may.
    Transparent,
    /// Those of 2 MiB that an administrator has set aside. Where there are none left, memory with this option is
    /// [transparently](Self::Transparent) huge if it is preferred, and none if it is required.
    Explicit2M,
}

/// On which node of a machine with several memories; see [`Memory::numa`](crate::Memory::numa).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Node {
    /// On this one alone. When it has no memory left the system may end the process.
    Bind(u32),
    /// On this one as long as it has memory left.
    Preferred(u32),
    /// On the node of the thread that the memory is taken for, as long as it has some left.
    ///
    /// Where there are several nodes with processors, each has its own idle memory. A thread takes what lies idle on the
    /// node where it runs, or else fresh memory there; only where that is refused, by a budget or by the system, it gets
    /// what lies idle on another. Buffers go back to the node of their memory, whoever drops them, when they leave a
    /// thread's cache; [`Stats::local_returns`](crate::Stats::local_returns) and
    /// [`remote_returns`](crate::Stats::remote_returns) count them. [Prefilled](crate::BufferPoolBuilder::prefill) buffers
    /// are of all nodes, as many of each, and their classes take what lies idle on another node before fresh memory.
    ///
    /// Costs a look at the number of the processor, which takes no system call, for each exchange with the depot.
    Local,
}

/// An option of [`Memory`](crate::Memory), as named in errors and statistics.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum MemoryOption {
    /// [`Memory::huge_pages`](crate::Memory::huge_pages)
    HugePages,
    /// [`Memory::numa`](crate::Memory::numa)
    Numa,
    /// [`Memory::exclude_from_dumps`](crate::Memory::exclude_from_dumps)
    ExcludeFromDumps,
    /// [`Memory::wipe_on_fork`](crate::Memory::wipe_on_fork)
    WipeOnFork,
    /// [`Memory::guard_pages`](crate::Memory::guard_pages)
    GuardPages,
    /// [`Memory::locked`](crate::Memory::locked)
    Locked,
    /// [`Memory::prefault`](crate::Memory::prefault)
    Prefault,
}

impl MemoryOption {
    pub(crate) const ALL: [MemoryOption; 7] = [
        MemoryOption::HugePages,
        MemoryOption::Numa,
        MemoryOption::ExcludeFromDumps,
        MemoryOption::WipeOnFork,
        MemoryOption::GuardPages,
        MemoryOption::Locked,
        MemoryOption::Prefault,
    ];
}

/// The name of the option's method.
impl fmt::Display for MemoryOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MemoryOption::HugePages => "huge_pages",
            MemoryOption::Numa => "numa",
            MemoryOption::ExcludeFromDumps => "exclude_from_dumps",
            MemoryOption::WipeOnFork => "wipe_on_fork",
            MemoryOption::GuardPages => "guard_pages",
            MemoryOption::Locked => "locked",
            MemoryOption::Prefault => "prefault",
        })
    }
}

/// Why the system refused something: its error number, or that it knows no such thing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OsReason(Option<i32>);

impl OsReason {
    /// There is no such thing on this system, or in this kind of memory.
    pub(crate) const UNKNOWN: OsReason = OsReason(None);

    /// Of the call that failed last on this thread.
    #[cfg_attr(any(miri, not(any(unix, windows))), expect(dead_code, reason = "nothing is asked of the system"))]
    pub(crate) fn last() -> Self {
        OsReason(io::Error::last_os_error().raw_os_error())
    }

    #[cfg_attr(any(miri, not(target_os = "linux")), expect(dead_code, reason = "no reason but the system's own"))]
    pub(crate) const fn from_code(code: i32) -> Self {
        OsReason(Some(code))
    }

    /// The system's error number, as [`io::Error::raw_os_error`] has it; none where the system, or the kind of memory,
    /// has no such option.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        self.0
    }
}

impl fmt::Display for OsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => io::Error::from_raw_os_error(code).fmt(f),
            None => f.write_str("there is no such option for this memory on this system"),
        }
    }
}

/// All that is asked of a pool's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    needs: [Option<Need>; MemoryOption::ALL.len()],
    pub(crate) huge_pages: HugePages,
    pub(crate) node: Node,
}

impl Options {
    pub(crate) const NONE: Options =
        Options { needs: [None; MemoryOption::ALL.len()], huge_pages: HugePages::Transparent, node: Node::Local };

    pub(crate) fn is_empty(&self) -> bool {
        self.needs.iter().all(Option::is_none)
    }

    /// None: it is not asked for.
    pub(crate) fn need(&self, option: MemoryOption) -> Option<Need> {
        self.needs[option as usize]
    }

    pub(crate) fn asks_for(&self, option: MemoryOption) -> bool {
        self.need(option).is_some()
    }

    pub(crate) fn ask(&mut self, option: MemoryOption, need: Need) {
        self.needs[option as usize] = Some(need);
    }

    /// Those without which there is nothing.
    pub(crate) fn required(mut self) -> Self {
        for need in &mut self.needs {
            *need = need.filter(|&need| need == Need::Require);
        }
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::NONE
    }
}
