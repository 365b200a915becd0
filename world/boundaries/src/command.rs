//! Commands that come by MQTT: any bytes, bodies that are nearly right behind a signature that holds, and signatures that
//! do not. What is signed with the key, for this gateway, now, is done once; nothing else is, and each is refused for its own
//! cause.

use gateway::cli::mqtt::commands::{Guard, Refusal, Wish, key};
use ring::hmac;

use crate::input::Input;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const BEGAN_S: u64 = 900;
const WINDOW_S: u64 = 30;

fn signed(body: &[u8]) -> Vec<u8> {
    let mac = hmac::sign(&key(KEY).expect("a key"), body);
    let mut payload: Vec<u8> = mac
        .as_ref()
        .iter()
        .flat_map(|it| format!("{it:02x}").into_bytes())
        .collect();
    payload.push(b' ');
    payload.extend_from_slice(body);
    payload
}

/// What a body says.
#[derive(Clone)]
struct Said {
    instance: String,
    wish: Wish,
    time_s: u64,
    nonce: String,
}

impl Said {
    /// About now, mostly.
    fn of(input: &mut Input<'_>, now_s: u64) -> Self {
        let [what, time, nonce] = [0; 3].map(|_: u8| input.byte());
        Self {
            instance: if what & 0x70 == 0x70 { "other" } else { "lab" }.to_owned(),
            wish: if what & 1 == 0 {
                Wish::Kill
            } else {
                Wish::Status
            },
            time_s: (now_s + u64::from(time % 96)).saturating_sub(48),
            nonce: format!("0123456789abcd{:02x}", nonce % 8),
        }
    }

    fn body(&self) -> Vec<u8> {
        let Self {
            instance,
            wish,
            time_s,
            nonce,
        } = self;
        let verb = if *wish == Wish::Kill {
            "kill"
        } else {
            "status"
        };
        format!(
            r#"{{"instance":"{instance}","verb":"{verb}","reason":"drill","time_s":{time_s},"nonce":"{nonce}"}}"#
        )
        .into_bytes()
    }

    /// What a body of which a few bytes are others says after all; `None`: it is not to be seen at once.
    fn read(body: &[u8], nonce: &str) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        let between = |from: &str, to: &str| Some(body.split_once(from)?.1.split_once(to)?.0);
        Some(Self {
            instance: between(r#""instance":""#, "\"")?.to_owned(),
            wish: if between(r#""verb":""#, "\"")? == "kill" {
                Wish::Kill
            } else {
                Wish::Status
            },
            time_s: between(r#""time_s":"#, ",")?.trim().parse().ok()?,
            nonce: nonce.to_owned(),
        })
    }
}

/// What becomes of a command that is readable: the rules once more, as `docs/mqtt.md` has them.
fn expected(done: &[Said], said: &Said, now_s: u64) -> Option<Refusal> {
    let is_good_for = |time_s: u64| time_s + WINDOW_S >= now_s;
    if said.instance != "lab" {
        return Some(Refusal::OtherInstance);
    }
    if said.time_s > now_s + WINDOW_S {
        return Some(Refusal::TooNew);
    }
    if said.time_s <= BEGAN_S || !is_good_for(said.time_s) {
        return Some(Refusal::TooOld);
    }
    let is_repeated = |it: &Said| it.nonce == said.nonce && is_good_for(it.time_s);
    done.iter().any(is_repeated).then_some(Refusal::Replayed)
}

/// One input.
pub(crate) fn run(data: &[u8]) {
    let guard = || Guard::new(key(KEY).expect("a key"), "lab", WINDOW_S, BEGAN_S);
    // Without the key nothing is done, whatever it says.
    let refused = guard().judge(data, BEGAN_S + 1);
    assert!(refused.is_err());
    let _ = key(&String::from_utf8_lossy(data));
    let _ = guard().judge(&signed(data), BEGAN_S + 1);
    let mut guard = guard();
    let mut input = Input(data);
    let (mut now_s, mut done) = (BEGAN_S, Vec::new());
    while !input.0.is_empty() {
        now_s += u64::from(input.byte() & 15);
        let said = Said::of(&mut input, now_s);
        let mut body = said.body();
        let turns = usize::from(input.byte() % 4);
        let whole = body.clone();
        for _ in 0..turns {
            let at = usize::from(input.byte()) % body.len();
            body[at] = input.byte();
        }
        let mut payload = signed(&body);
        let (how, at) = (input.byte(), input.number());
        if how & 3 == 3 {
            let at = at % payload.len();
            // The case of a digit of the signature says nothing.
            let to = payload[at] ^ (how >> 2).max(1);
            let is_same = at < 64 && to.eq_ignore_ascii_case(&payload[at]);
            payload[at] = to;
            if !is_same {
                let refused = guard.judge(&payload, now_s);
                assert!(matches!(
                    refused,
                    Err(Refusal::Unsigned | Refusal::WrongSignature)
                ));
                continue;
            }
        }
        let judged = guard.judge(&payload, now_s);
        let said = match &judged {
            _ if body == whole => said,
            Ok(command) => Said::read(&body, &command.nonce).expect("it was readable"),
            // Whatever is wrong with it, it was not done.
            Err(_) => continue,
        };
        let refusal = expected(&done, &said, now_s);
        assert_eq!(judged.as_ref().err().copied(), refusal, "at {now_s}");
        if let Ok(command) = judged {
            assert!(command.nonce.len() >= 16);
            assert_eq!(
                (command.verb, command.nonce),
                (said.wish.clone(), said.nonce.clone())
            );
            done.push(said);
            assert_eq!(guard.judge(&payload, now_s), Err(Refusal::Replayed));
        }
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"{\"instance\":\"lab\",\"verb\":\"kill\",\"time_s\":901,\"nonce\":\"0123456789abcdef\"}"
            .to_vec(),
        // One command, the same again, and another under its nonce.
        [
            [1, 0, 60, 1, 0, 0, 0, 0],
            [1, 0, 59, 1, 0, 0, 0, 0],
            [9, 0, 60, 1, 0, 3, 0, 70],
        ]
        .concat(),
        // A turned byte, another gateway's, and one that is too new.
        [
            &[1, 0, 60, 1, 1, 20, 7, 0, 0, 0][..],
            &[0, 0x70, 60, 2, 0, 0, 0, 0],
            &[1, 0, 90, 1, 0, 0, 0, 0],
        ]
        .concat(),
    ]
}
