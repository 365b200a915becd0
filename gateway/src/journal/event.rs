//! What a record means: its payload as values.
//!
//! When wrong:  a payload that its kind has not is a [`Flaw`]; nothing is guessed.

use zerocopy::FromBytes;

use super::format::{ACCEPTED, Flaw, IntentRecord, Kind, Record};
use super::limit_row::RowRecord;
use super::limits::LimitsRecord;
use crate::message::intent::Action;

/// Bit of a command's code: it named a strategy that is not here.
pub(super) const UNKNOWN: u8 = 1 << 7;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The gateway starts.
    Start,
    /// It has stopped.
    Stop,
    /// An intent was accepted, and this SoupBinTCP packet goes out.
    Sent(IntentRecord, &'a [u8]),
    /// An intent was refused.
    Refused(IntentRecord),
    /// Cancels that no strategy asked for: SoupBinTCP packets.
    Cancels(&'a [u8]),
    /// A message of the exchange.
    Heard(HeardMessage<'a>),
    /// A connection stands.
    Connected,
    /// The login was accepted: the number of the next message, the session's name.
    LoggedIn(u64, [u8; 10]),
    /// The connection is gone; the pause before the next try, ms.
    Closed(u32),
    /// Orders go out.
    Opened,
    /// A command of the operator.
    Command(CommandRecord),
    /// The kill switch is on, for the cause of this code; 255: housekeeping began it, else 1 and the place of another
    /// session that did, 0: none, or a journal of an earlier version does not say.
    KillOn(u8, u8),
    /// The kill switch is off.
    KillOff,
    /// Limits are other ones.
    Limits(LimitsRecord<'a>),
    /// A row of limits is another one.
    Row(RowRecord),
    /// Turns of the core, as [`turns`](super::turns) has them.
    Turns(&'a [u8]),
    /// Somebody asked for something by the control socket.
    Asked(RequestRecord<'a>),
    /// Something that this version does not know and need not: its code.
    Aside(u8),
}

/// A request that came by the control socket, or what became of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRecord<'a> {
    /// The user; `None`: the gateway itself.
    pub uid: Option<u32>,
    /// The process; 0: the gateway itself, or nobody can say.
    pub pid: u32,
    /// It, as an operator would type it, or what happened.
    pub text: &'a str,
}

/// A message of the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeardMessage<'a> {
    /// Its SoupBinTCP sequence number.
    pub seq: u64,
    /// It was said before the connection was begun.
    pub is_past: bool,
    /// The message.
    pub message: &'a [u8],
}

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandRecord {
    /// What was asked for.
    pub what: Commanded,
    /// The strategy meant, where one is.
    pub owner: u8,
    /// It was done: there is such a strategy.
    pub is_known: bool,
}

/// What commands ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Commanded {
    /// Cancel all orders.
    CancelAll = 1,
    /// Pause a strategy.
    Pause = 2,
    /// Let it send again.
    Unpause = 3,
}

impl Commanded {
    fn of_code(code: u8) -> Option<Self> {
        let mut all = [Self::CancelAll, Self::Pause, Self::Unpause].into_iter();
        all.find(|one| *one as u8 == code)
    }
}

impl<'a> Event<'a> {
    /// What a record tells.
    ///
    /// # Errors
    /// Its payload is none of its kind.
    pub fn of(record: &Record<'a>) -> Result<Self, Flaw> {
        Self::read(record).ok_or(Flaw::Payload(record.kind))
    }

    fn read(record: &Record<'a>) -> Option<Self> {
        let payload = record.payload;
        let [first, second] = record.header.detail;
        let bare = |event| payload.is_empty().then_some(event);
        match record.kind {
            Kind::Start => bare(Self::Start),
            Kind::Stop => bare(Self::Stop),
            Kind::Connected => bare(Self::Connected),
            Kind::Opened => bare(Self::Opened),
            Kind::KillOff => bare(Self::KillOff),
            Kind::KillOn => bare(Self::KillOn(first, second)),
            Kind::Sent => {
                let (intent, packet) = intent(payload)?;
                (intent.refusal == ACCEPTED && !packet.is_empty())
                    .then_some(Self::Sent(intent, packet))
            }
            Kind::Refused => {
                let (intent, rest) = intent(payload)?;
                (intent.refusal != ACCEPTED && rest.is_empty()).then_some(Self::Refused(intent))
            }
            Kind::Cancels => (!payload.is_empty()).then_some(Self::Cancels(payload)),
            Kind::Heard => {
                let (seq, message) = payload.split_first_chunk()?;
                Some(Self::Heard(HeardMessage {
                    seq: u64::from_le_bytes(*seq),
                    is_past: first == 1,
                    message,
                }))
            }
            Kind::LoggedIn => {
                let (next, name) = payload.split_first_chunk()?;
                let name = name.try_into().ok()?;
                Some(Self::LoggedIn(u64::from_le_bytes(*next), name))
            }
            Kind::Closed => Some(Self::Closed(u32::from_le_bytes(payload.try_into().ok()?))),
            Kind::Turns => Some(Self::Turns(payload)),
            Kind::Row => RowRecord::read(payload).map(Self::Row),
            Kind::Limits => LimitsRecord::read(payload).map(Self::Limits),
            Kind::Asked => RequestRecord::read(payload).map(Self::Asked),
            Kind::Aside => Some(Self::Aside(record.header.kind)),
            Kind::Command => {
                let what = Commanded::of_code(first & !UNKNOWN)?;
                bare(Self::Command(CommandRecord {
                    what,
                    owner: second,
                    is_known: first & UNKNOWN == 0,
                }))
            }
        }
    }
}

/// Nobody's user number: what the kernel says of a user that it has no number for, so nobody who asks has it.
const NO_UID: u32 = u32::MAX;

impl<'a> RequestRecord<'a> {
    fn read(payload: &'a [u8]) -> Option<Self> {
        let (uid, rest) = payload.split_first_chunk()?;
        let (pid, text) = rest.split_first_chunk()?;
        let uid = u32::from_le_bytes(*uid);
        Some(Self {
            uid: (uid != NO_UID).then_some(uid),
            pid: u32::from_le_bytes(*pid),
            text: std::str::from_utf8(text).ok()?,
        })
    }

    /// What stands before the text.
    pub(super) fn who(&self) -> [u8; 8] {
        let uid = self.uid.unwrap_or(NO_UID);
        zerocopy::transmute!([uid.to_le_bytes(), self.pid.to_le_bytes()])
    }
}

fn intent(payload: &[u8]) -> Option<(IntentRecord, &[u8])> {
    let (intent, rest) = IntentRecord::read_from_prefix(payload).ok()?;
    intent.action()?;
    Some((intent, rest))
}

impl IntentRecord {
    /// What was asked for; `None`: nothing that this version knows.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        let mut all = [
            Action::Enter,
            Action::Replace,
            Action::Cancel,
            Action::Reduce,
        ]
        .into_iter();
        all.find(|action| *action as u8 == self.flags & 3)
    }
}
