//! A CPU quota for the DUT: one control group, version 1 or 2, for one run.
//!
//! The group is called `nadare-<pid of the run>-dut`. The DUT's first process puts itself into it
//! before it starts anything ([`join`]). A group is removed at the end of its run; one that a killed
//! run has left behind is removed by the next run with a quota.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wire::units::Percent;

/// Period of the quota in microseconds. The kernel's default of 100 ms would stop a DUT with a quarter
/// of a core for 75 ms at a time, which is a stall and not a slower machine.
const PERIOD_US: u64 = 10_000;

/// Smallest quota per period that the kernel takes, in microseconds.
const QUOTA_MIN_US: u64 = 1_000;

/// The control group of a DUT with a CPU quota.
pub(super) struct Group {
    folder: PathBuf,
}

/// Why there is no quota.
#[derive(Debug, thiserror::Error)]
#[error(
    "dut.cpu_quota needs a writable cpu control group, but {what}; run as root, let the service manager \
     delegate the cpu controller (Delegate=cpu), or leave dut.cpu_quota out"
)]
pub struct QuotaError {
    what: String,
    source: io::Error,
}

impl Group {
    /// Makes the group and sets its quota.
    ///
    /// # Errors
    /// [`QuotaError`] with the folder that cannot be made or written.
    pub(super) fn create(quota: Percent) -> Result<Self, QuotaError> {
        let hierarchy = Hierarchy::find().ok_or_else(|| QuotaError {
            what: "neither /proc/self/mounts nor /sys/fs/cgroup names one".to_owned(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        remove_stale(&hierarchy.parent);
        let folder = hierarchy.parent.join(format!("nadare-{}-dut", std::process::id()));
        hierarchy.enable();
        let failed = |what: &str, path: &Path| {
            let what = format!("{} cannot be {what}", path.display());
            move |source| QuotaError { what, source }
        };
        // A group of this very run may be left from a DUT that did not get ready.
        let _ = fs::remove_dir(&folder);
        fs::create_dir(&folder).map_err(failed("made", &folder))?;
        let group = Self { folder };
        for (file, value) in hierarchy.version.settings(quota) {
            let path = group.folder.join(file);
            fs::write(&path, value).map_err(failed("written", &path))?;
        }
        Ok(group)
    }

    /// The folder, for the process that is to [`join`].
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many periods ended with the DUT stopped, since the group was made.
    pub(super) fn throttled(&self) -> u64 {
        throttled_in(&self.folder)
    }
}

/// How often a quota on this process itself (a container's, say) has stopped it so far; the reflectors
/// are in the same group.
pub(super) fn own_throttled() -> u64 {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    own_folder(&groups).map_or(0, |folder| throttled_in(&folder))
}

/// The folder of the group that rules a process's CPU time, from its `/proc/PID/cgroup`: version 1
/// names the controller (`4:cpu,cpuacct:/a`), version 2 none (`0::/a`).
fn own_folder(groups: &str) -> Option<PathBuf> {
    let split = |line: &'_ str| {
        let mut parts = line.splitn(3, ':').skip(1).map(str::to_owned);
        Some((parts.next()?, parts.next()?))
    };
    let all: Vec<(String, String)> = groups.lines().filter_map(split).collect();
    let first = all.iter().find(|(controllers, _)| controllers.split(',').any(|name| name == "cpu"));
    match first {
        Some((_, path)) => Some(Path::new("/sys/fs/cgroup/cpu").join(path.trim_start_matches('/'))),
        None => {
            let (_, path) = all.iter().find(|(controllers, _)| controllers.is_empty())?;
            Some(Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/')))
        }
    }
}

fn throttled_in(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("cpu.stat")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes have ended by now; one that the kernel is still clearing away keeps the folder,
        // and then the next run removes it.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Puts this process into a group; what it starts from now on is in it too.
///
/// # Errors
/// The kernel's reason.
pub(super) fn join(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("cgroup.procs"), std::process::id().to_string())
}

/// Takes this process out of a group again and removes the group, for a run that was killed and can no
/// longer do it.
pub(super) fn leave(folder: &Path) {
    let Some(parent) = folder.parent() else { return };
    // In an ordinary end the run removes the group itself; a group that stays is stale for the next.
    let _ = join(parent);
    let _ = fs::remove_dir(folder);
}

/// The folder below which groups can be made, or why there is none; nothing is tried out.
pub(super) fn writable_parent() -> Result<String, String> {
    let hierarchy = Hierarchy::find().ok_or_else(|| "no cpu controller is mounted".to_owned())?;
    let parent = hierarchy.parent.display().to_string();
    if super::doctor::is_writable(&hierarchy.parent) { Ok(parent) } else { Err(format!("{parent} cannot be written")) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    fn settings(self, quota: Percent) -> Vec<(&'static str, String)> {
        let share = quota.as_ratio().max(1e-3);
        let period = PERIOD_US.max((QUOTA_MIN_US as f64 / share).ceil() as u64).min(1_000_000);
        let quota = (period as f64 * share).round() as u64;
        match self {
            Self::One => vec![("cpu.cfs_period_us", period.to_string()), ("cpu.cfs_quota_us", quota.to_string())],
            Self::Two => vec![("cpu.max", format!("{quota} {period}"))],
        }
    }
}

struct Hierarchy {
    version: Version,
    parent: PathBuf,
}

impl Hierarchy {
    fn find() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::from_texts(&mounts, &own)
    }

    /// Version 1 if the cpu controller is mounted there, else version 2. Under version 2 the group is
    /// made beside our own one: a group with processes cannot have groups with controllers below it.
    fn from_texts(mounts: &str, own: &str) -> Option<Self> {
        let fields = mounts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mounts: Vec<_> = fields.filter(|fields| fields.len() >= 4).collect();
        let has_cpu = |options: &str| options.split(',').any(|option| option == "cpu");
        if let Some(mount) = mounts.iter().find(|mount| mount[2] == "cgroup" && has_cpu(mount[3])) {
            return Some(Self { version: Version::One, parent: mount[1].into() });
        }
        let mount = mounts.iter().find(|mount| mount[2] == "cgroup2")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let beside = Path::new(own).parent().unwrap_or_else(|| Path::new("/"));
        let parent = Path::new(mount[1]).join(beside.strip_prefix("/").unwrap_or(beside));
        Some(Self { version: Version::Two, parent })
    }

    fn enable(&self) {
        if self.version == Version::Two {
            // Where the controller is enabled already this changes nothing; where it may not be, setting
            // the quota fails and says so.
            let _ = fs::write(self.parent.join("cgroup.subtree_control"), "+cpu");
        }
    }
}

/// Removes the groups of runs that no longer exist; one that still has processes cannot be removed.
fn remove_stale(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("nadare-")?.strip_suffix("-dut"));
        let Some(pid) = pid.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{pid}")).exists() {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_both_versions() {
        let old = "8:pids:/\n2:cpu,cpuacct:/box/7\n1:name=systemd:/\n0::/\n";
        assert_eq!(own_folder(old), Some(PathBuf::from("/sys/fs/cgroup/cpu/box/7")));
        assert_eq!(own_folder("0::/user.slice\n"), Some(PathBuf::from("/sys/fs/cgroup/user.slice")));
        assert_eq!(own_folder(""), None);
    }

    fn percent(ratio: f64) -> Percent {
        Percent::from_ratio(ratio).unwrap()
    }

    #[test]
    fn a_quota_keeps_its_share_also_below_the_smallest_quota_of_a_short_period() {
        let one = Version::One.settings(percent(0.25));
        assert_eq!(one, [("cpu.cfs_period_us", "10000".to_owned()), ("cpu.cfs_quota_us", "2500".to_owned())]);
        assert_eq!(Version::Two.settings(percent(0.02)), [("cpu.max", "1000 50000".to_owned())]);
    }

    #[test]
    fn the_cpu_controller_is_found_in_both_versions() {
        let one = "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0";
        let found = Hierarchy::from_texts(one, "").unwrap();
        assert_eq!((found.version, found.parent), (Version::One, "/sys/fs/cgroup/cpu,cpuacct".into()));
        let two = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0";
        let found = Hierarchy::from_texts(two, "0::/user.slice/run.scope\n").unwrap();
        assert_eq!((found.version, found.parent), (Version::Two, "/sys/fs/cgroup/user.slice".into()));
        assert_eq!(Hierarchy::from_texts(two, "0::/\n").unwrap().parent, Path::new("/sys/fs/cgroup/"));
        assert!(Hierarchy::from_texts("proc /proc proc rw 0 0", "").is_none());
    }
}
