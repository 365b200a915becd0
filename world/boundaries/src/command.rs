//! Commands that come by MQTT: any bytes, bodies that are nearly right behind a signature that holds, and signatures that
//! do not. Nothing is done that was not signed with the key, for this gateway, now, once.

use gateway::cli::mqtt::commands::{Guard, Refusal, key};
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

/// A body with a few bytes turned.
fn body(input: &mut Input<'_>) -> Vec<u8> {
    let [what, time, nonce, turns] = [0; 4].map(|_: u8| input.byte());
    let instance = if what & 0x70 == 0x70 { "other" } else { "lab" };
    let verb = if what & 1 == 0 { "kill" } else { "status" };
    let time_s = BEGAN_S + u64::from(time);
    let mut body = format!(
        r#"{{"instance":"{instance}","verb":"{verb}","reason":"drill","time_s":{time_s},"nonce":"0123456789abcd{:02x}"}}"#,
        nonce % 8
    )
    .into_bytes();
    for _ in 0..turns % 4 {
        let at = usize::from(input.byte()) % body.len();
        body[at] = input.byte();
    }
    body
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
        let mut payload = signed(&body(&mut input));
        let (how, at) = (input.byte(), input.number());
        if how & 3 == 3 {
            let at = at % payload.len();
            // The case of a digit of the signature says nothing.
            let to = payload[at] ^ (how >> 2).max(1);
            let is_same = at < 64 && to.eq_ignore_ascii_case(&payload[at]);
            payload[at] = to;
            let refused = guard.judge(&payload, now_s);
            assert!(is_same || matches!(refused, Err(Refusal::Unsigned | Refusal::WrongSignature)));
            if is_same && refused.is_ok() {
                done.push(payload.to_ascii_lowercase());
            }
            continue;
        }
        if let Ok(command) = guard.judge(&payload, now_s) {
            assert!(command.nonce.len() >= 16);
            let lower = payload.to_ascii_lowercase();
            assert!(!done.contains(&lower), "done twice");
            done.push(lower);
            assert_eq!(guard.judge(&payload, now_s), Err(Refusal::Replayed));
        }
    }
}

/// What to begin with.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"{\"instance\":\"lab\",\"verb\":\"kill\",\"time_s\":901,\"nonce\":\"0123456789abcdef\"}"
            .to_vec(),
        [
            [1, 0, 2, 1, 0, 0, 0, 0],
            [1, 1, 3, 1, 0, 0, 0, 0],
            [9, 0, 2, 1, 0, 3, 0, 70],
        ]
        .concat(),
        [
            [1, 0, 2, 1, 1, 20, 7, 0],
            [0, 0, 1, 1, 0, 3, 0, 9],
            [1, 0, 2, 1, 0, 0, 0, 0],
        ]
        .concat(),
    ]
}
