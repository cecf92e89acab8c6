//! What the kernel says of processes and threads: time on a core. Linux only.

use std::fs;
use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, Pid, gettid, sched_getaffinity, sched_setaffinity};

/// Microseconds per tick of `/proc/PID/stat` (`USER_HZ` is 100 on every Linux that the server runs on).
const TICK_US: u64 = 10_000;

/// Nice value of threads that only make load.
const LOW_PRIORITY: i32 = 10;

/// CPU time used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// On a core, ns, by the scheduler's own account.
    pub(crate) run_ns: u64,
    /// In user mode, us, in steps of 10 ms.
    pub(crate) user_us: u64,
}

impl Cpu {
    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            run_ns: self.run_ns.saturating_sub(earlier.run_ns),
            user_us: self.user_us.saturating_sub(earlier.user_us),
        }
    }
}

/// User and system time in ticks, from a `stat` file.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    // The name in brackets may hold blanks; fields count from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Time of the whole process, us, in steps of 10 ms.
pub(crate) fn process_us(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (user, system) = ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
    Ok((user + system) * TICK_US)
}

/// Memory of the process that lies in RAM, bytes.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    Ok(kib.ok_or(io::ErrorKind::InvalidData)? * 1_024)
}

/// Files that a process has open.
pub(crate) fn open_files(pid: u32) -> io::Result<u64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

/// Datagrams that the UDP socket bound to an IPv4 address had no room for, since it was bound.
pub(crate) fn overflowed(bound: SocketAddr) -> io::Result<u64> {
    dropped(&fs::read_to_string("/proc/net/udp")?, bound).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The last column of a socket's line; addresses stand there as the machine keeps them, in hexadecimal.
fn dropped(table: &str, bound: SocketAddr) -> Option<u64> {
    let SocketAddr::V4(bound) = bound else { return None };
    let address = u32::from_ne_bytes(bound.ip().octets());
    let local = format!("{address:08X}:{:04X}", bound.port());
    let of_socket = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(&local);
    let drops = |line: &str| line.split_ascii_whitespace().next_back()?.parse::<u64>().ok();
    table.lines().filter(of_socket).map(drops).sum()
}

/// Lets this process have as many sockets as the system allows it: one per leg, and the usual 1,024 are soon used up.
pub(crate) fn allow_sockets() -> io::Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}

/// The calling thread gives way to others of its core.
pub(crate) fn give_way() -> io::Result<()> {
    // Linux takes the number of a thread here, and only that thread's priority changes.
    Ok(setpriority_process(Some(gettid()), LOW_PRIORITY)?)
}

/// Threads of `pid` whose name begins with `prefix`.
pub(crate) fn threads(pid: u32, prefix: &str) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with(prefix) {
            found.extend(entry.file_name().to_str().and_then(|tid| tid.parse::<u32>().ok()));
        }
    }
    Ok(found)
}

/// Time of the whole process on a core, ns, by the scheduler's own account.
pub(crate) fn process_ns(pid: u32) -> io::Result<u64> {
    Ok(thread_cpu(pid, &threads(pid, "")?)?.run_ns)
}

/// Processes that were started by `pid`, or by those.
pub(crate) fn descendants(pid: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile is nobody's child any more.
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        parents.extend(parent(&stat).map(|parent| (child, parent)));
    }
    let mut found = vec![pid];
    let mut place = 0;
    while let Some(this) = found.get(place).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == this)
                .map(|(child, _)| *child),
        );
        place += 1;
    }
    found.remove(0);
    Ok(found)
}

/// The process that started this one, from a `stat` file.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Cores that a process may use.
pub(crate) fn cores_of(pid: u32) -> io::Result<u32> {
    Ok(sched_getaffinity(Pid::from_raw(pid.cast_signed()))?.count())
}

/// Keeps a thread, and those it starts from now on, off one core, unless it has no other.
pub(crate) fn keep_thread_off(tid: u32, core: usize) -> io::Result<()> {
    let tid = Pid::from_raw(tid.cast_signed());
    let mut set = sched_getaffinity(tid)?;
    set.unset(core);
    if set.count() == 0 {
        return Ok(());
    }
    Ok(sched_setaffinity(tid, &set)?)
}

/// Keeps all threads of a process on one core.
pub(crate) fn pin_process(pid: u32, core: usize) -> io::Result<()> {
    threads(pid, "")?
        .into_iter()
        .try_for_each(|thread| pin(Some(thread), core))
}

/// Time of the threads `tids` of `pid`, added up.
pub(crate) fn thread_cpu(pid: u32, tids: &[u32]) -> io::Result<Cpu> {
    let mut sum = Cpu::default();
    for tid in tids {
        let base = format!("/proc/{pid}/task/{tid}");
        let schedstat = fs::read_to_string(format!("{base}/schedstat"))?;
        let run: Option<u64> = schedstat.split(' ').next().and_then(|text| text.parse().ok());
        sum.run_ns += run.ok_or(io::ErrorKind::InvalidData)?;
        let stat = fs::read_to_string(format!("{base}/stat"))?;
        sum.user_us += ticks(&stat).ok_or(io::ErrorKind::InvalidData)?.0 * TICK_US;
    }
    Ok(sum)
}

/// The calling thread, and those it starts, run on any core but this one.
pub(crate) fn keep_off(core: usize) -> io::Result<()> {
    let mut set = sched_getaffinity(None)?;
    set.unset(core);
    if set.count() == 0 {
        return Ok(());
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Keeps a thread on one core; `None` is the calling thread.
pub(crate) fn pin(tid: Option<u32>, core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    let pid = tid.and_then(|tid| Pid::from_raw(tid.cast_signed()));
    Ok(sched_setaffinity(pid, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_who_started_it() {
        assert_eq!(parent("7 (a) b (c) S 12 1 1 0 -1 4194304"), Some(12));
        assert_eq!(parent("7 no brackets"), None);
        assert!(!descendants(std::process::id()).unwrap().contains(&std::process::id()));
    }

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_move_the_fields() {
        let stat = "7 (a) b (c) S 1 1 1 0 -1 4194304 1 0 0 0 123 45 0 0";
        assert_eq!(ticks(stat), Some((123, 45)));
        assert_eq!(ticks("7 no brackets"), None);
    }

    #[test]
    fn what_a_socket_has_lost_is_found_by_its_address() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1000: 0100007F:0D96 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 17\n\
            1001: 0100007F:0D97 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 5\n";
        assert_eq!(dropped(table, "127.0.0.1:3478".parse().unwrap()), Some(17));
        assert_eq!(dropped(table, "127.0.0.1:3480".parse().unwrap()), Some(0));
        assert_eq!(dropped(table, "[::1]:3478".parse().unwrap()), None);
    }
}
