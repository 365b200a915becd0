//! Who asks, and whether he may.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{User, geteuid};

/// The process at the other end when it connected, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its number; 0: it is in another namespace.
    pub pid: i32,
}

impl Peer {
    /// Who is at the other end of a Unix socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of(socket: &impl AsFd) -> std::io::Result<Self> {
        let found = getsockopt(socket, PeerCredentials)?;
        Ok(Self {
            uid: found.uid(),
            pid: found.pid(),
        })
    }
}

impl Peer {
    /// This process: whoever has sent it a signal.
    #[must_use]
    pub fn own() -> Self {
        Self {
            uid: geteuid().as_raw(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "uid {}, pid {}", self.uid, self.pid)
    }
}

/// Root.
const ROOT: u32 = 0;

/// The users who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<u32>);

impl Allowed {
    /// This process's user, root, and these.
    #[must_use]
    pub fn with(others: &[u32]) -> Self {
        let mut uids = vec![geteuid().as_raw(), ROOT];
        uids.extend(others);
        Self(uids)
    }

    /// Whether this one may ask.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, peer: Peer) -> Result<(), String> {
        if self.0.contains(&peer.uid) {
            return Ok(());
        }
        Err(format!(
            "uid {} may not: expected the gateway's own user, root, or one of control.users",
            peer.uid
        ))
    }
}

/// The number of a user's name, as this host knows it.
///
/// # Errors
/// There is none of that name.
pub fn uid_of(name: &str) -> Result<u32, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!(
            "\"{name}\": no such user on this host, expected a name or a number"
        )),
        Err(error) => Err(format!("\"{name}\": {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_user_root_and_those_named_may_and_nobody_else() {
        let allowed = Allowed::with(&[4_000_001]);
        let check = |uid| allowed.check(Peer { uid, pid: 1 });
        for uid in [geteuid().as_raw(), 0, 4_000_001] {
            assert_eq!(check(uid), Ok(()));
        }
        let refused = check(4_000_002).unwrap_err();
        assert!(refused.contains("uid 4000002 may not"), "{refused}");
        assert_eq!(uid_of("root"), Ok(0));
        assert!(uid_of("no such user").unwrap_err().contains("no such user"));
    }

    #[test]
    fn kernel_says_who_is_at_the_other_end() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        let here = std::process::id();
        assert_eq!(
            (peer.uid, peer.pid.unsigned_abs()),
            (geteuid().as_raw(), here)
        );
    }
}
