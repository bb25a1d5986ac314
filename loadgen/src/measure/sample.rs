//! What the testbed looked like at one moment: processor, memory and descriptors of every role.

use host::kernel::CoreTicks;
use host::link::LinkBits;
use serde::{Deserialize, Serialize};

/// Who a process is in the testbed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// This process.
    Generator,
    /// The load balancer under test, with all its descendants.
    Dut,
    /// Reflector number, from 0.
    Reflector(usize),
}

impl Role {
    /// The name in CSV and JSON: `generator`, `dut`, `reflector-0`.
    pub fn name(self) -> String {
        match self {
            Self::Generator => "generator".to_owned(),
            Self::Dut => "dut".to_owned(),
            Self::Reflector(number) => format!("reflector-{number}"),
        }
    }
}

/// One role at one moment. Counters only grow.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RoleSample {
    /// Whose sample it is.
    pub role: Role,
    /// Cores the role is placed on.
    pub cores: Vec<usize>,
    /// CPU quota of the role in cores (0.25 = a quarter of one core), if it has one.
    pub quota_cores: Option<f64>,
    /// CPU time used so far in nanoseconds, all threads and descendants.
    pub cpu_ns: u64,
    /// Anonymous resident memory in bytes.
    pub rss_anon_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Limit of open descriptors per process.
    pub descriptor_limit: u64,
    /// Connections or datagrams dropped so far at the role's own sockets, where it can tell.
    pub socket_drops: u64,
    /// How often its quota stopped it so far (cgroup `nr_throttled`).
    pub throttled: u64,
}

/// One network interface at one moment.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LinkSample {
    /// Its name.
    pub name: String,
    /// The speed it declares in bits per second; virtual ones declare none.
    pub speed_bps: Option<u64>,
    /// What passed it so far.
    pub bits: LinkBits,
}

/// The testbed at one moment.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Sample {
    /// When, on `CLOCK_MONOTONIC`, in nanoseconds.
    pub at_ns: u64,
    /// Every role, generator first.
    pub roles: Vec<RoleSample>,
    /// Every core of the host.
    pub cores: Vec<CoreTicks>,
    /// The interfaces that lead out of this host to DUT or reflectors; none on loopback.
    pub links: Vec<LinkSample>,
    /// Memory available on the host in bytes.
    pub memory_available_bytes: u64,
}

impl Sample {
    /// The sample of one role.
    pub fn role(&self, role: Role) -> Option<&RoleSample> {
        self.roles.iter().find(|sample| sample.role == role)
    }
}
