//! Has the kernel hold a thread to a policy: capabilities, then Landlock, then seccomp. Each holds for the calling thread and
//! for those that it begins later.

use std::process;

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Mode;
use super::policy::{ABSENT, Calls, Condition, Kind, Need, Policy};

/// The newest of Landlock's versions whose rights are named here: 5 has device ioctls, 4 TCP ports. An older kernel holds what
/// it knows.
const NEWEST: ABI = ABI::V5;

/// Gives up every capability but those needed, of those that there are.
pub(super) fn drop_capabilities(policy: &Policy) -> Result<(), String> {
    let failed = |error: caps::errors::CapsError| format!("capabilities: {error}");
    let wanted = policy.needs.iter().map(|need| match need {
        Need::NetAdmin => Capability::CAP_NET_ADMIN,
        Need::Bpf => Capability::CAP_BPF,
        Need::IpcLock => Capability::CAP_IPC_LOCK,
    });
    let has = caps::read(None, CapSet::Permitted).map_err(failed)?;
    let keep: CapsHashSet = wanted.filter(|it| has.contains(it)).collect();
    caps::clear(None, CapSet::Ambient).map_err(failed)?;
    caps::clear(None, CapSet::Inheritable).map_err(failed)?;
    // In this order: what is permitted is never less than what is in effect.
    caps::set(None, CapSet::Effective, &keep).map_err(failed)?;
    caps::set(None, CapSet::Permitted, &keep).map_err(failed)
}

/// Leaves files and TCP ports of the policy alone, and refuses all others; the error is why it does not.
pub(super) fn landlock(policy: &Policy, kind: Kind) -> Result<(), String> {
    let failed = |error: landlock::RulesetError| format!("landlock: {error}");
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))
        .and_then(|it| it.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(Ruleset::create)
        .map_err(failed)?;
    if kind == Kind::House {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let never: BitFlags<AccessFs> =
            AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
        let write = AccessFs::from_all(NEWEST) & !never;
        rules = rules
            .add_rules(path_beneath_rules(&policy.folders, write))
            .and_then(|it| it.add_rules(path_beneath_rules(&policy.read, read)))
            .map_err(failed)?;
    }
    // A delegated connection asks for any free port before it connects.
    if policy.binds {
        rules = rules
            .add_rule(NetPort::new(0, AccessNet::BindTcp))
            .map_err(failed)?;
    }
    for port in &policy.ports {
        rules = rules
            .add_rule(NetPort::new(*port, AccessNet::ConnectTcp))
            .map_err(failed)?;
    }
    let status = rules.restrict_self().map_err(failed)?;
    match status.ruleset {
        RulesetStatus::NotEnforced => Err("landlock: this kernel has none".to_owned()),
        RulesetStatus::PartiallyEnforced | RulesetStatus::FullyEnforced => Ok(()),
    }
}

/// The filters of a thread: what is not allowed is refused, or with `Mode::Log` noted by the kernel; what is deadly is more.
pub(super) fn filter(policy: &Policy, kind: Kind, mode: Mode) -> Result<(), String> {
    let (refuse, end) = match mode {
        Mode::Enforce => (SeccompAction::Trap, SeccompAction::KillProcess),
        Mode::Log | Mode::Off => (SeccompAction::Log, SeccompAction::Log),
    };
    let deadly = policy.deadly().into_iter().map(|call| (call, Vec::new()));
    let deadly = program(&deadly.collect(), SeccompAction::Allow, end)?;
    let allowed = policy.allowed(kind, process::id());
    let allowed = program(&allowed, refuse, SeccompAction::Allow)?;
    // Of several filters the strictest answer holds. The last allows no third, so it is the last.
    let absent = ABSENT.map(|call| (call, Vec::new())).into();
    let absent = program(
        &absent,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
    )?;
    for program in [deadly, absent, allowed] {
        seccompiler::apply_filter(&program).map_err(|error| format!("seccomp: {error}"))?;
    }
    Ok(())
}

fn program(
    calls: &Calls,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, String> {
    let failed = |error: seccompiler::BackendError| format!("seccomp: {error}");
    let rule = |all: &Vec<Condition>| {
        let conditions = all.iter().map(condition).collect::<Result<_, _>>()?;
        SeccompRule::new(conditions)
    };
    let mut rules = std::collections::BTreeMap::new();
    for (call, any) in calls {
        let any: Result<Vec<SeccompRule>, _> = any.iter().map(rule).collect();
        rules.insert(*call, any.map_err(failed)?);
    }
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(failed)?;
    SeccompFilter::new(rules, otherwise, listed, machine)
        .and_then(BpfProgram::try_from)
        .map_err(failed)
}

fn condition(of: &Condition) -> Result<SeccompCondition, seccompiler::BackendError> {
    let (argument, operator, value) = match *of {
        Condition::Is(at, value) => (at, SeccompCmpOp::Eq, value),
        Condition::IsNot(at, value) => (at, SeccompCmpOp::Ne, value),
        Condition::Masked(at, mask, value) => (at, SeccompCmpOp::MaskedEq(mask), value),
    };
    // All of them are 32-bit arguments but protections and flags, whose upper half the kernel ignores.
    let length = match *of {
        Condition::Is(2, _) => SeccompCmpArgLen::Qword,
        _ => SeccompCmpArgLen::Dword,
    };
    SeccompCondition::new(argument, length, operator, value)
}
