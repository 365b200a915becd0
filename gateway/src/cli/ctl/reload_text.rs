//! What a reload came to, for people.

use crate::control::answer::Reloaded;

/// Each line with its end.
pub(super) fn reloaded(told: &Reloaded) -> String {
    let mut out = String::new();
    for fault in &told.faults {
        out.push_str(&format!("{fault}\n"));
    }
    // What is refused comes last: it is what somebody has to do something about.
    let (refused, other): (Vec<_>, Vec<_>) =
        told.changes.iter().partition(|it| it.refused.is_some());
    for change in other.into_iter().chain(refused) {
        out.push_str(&format!("{change}\n"));
    }
    if told.is_applied {
        if !told.is_taken {
            out.push_str("NOT taken yet by every session: its core does not turn\n");
        }
        out.push_str(&format!(
            "{told}; table {} of limits is in force\n",
            told.number
        ));
    } else {
        out.push_str(&format!("{}\n", told.to_string().to_uppercase()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::ReloadedKey;

    #[test]
    fn refused_keys_come_last_and_nothing_is_said_to_be_done() {
        let change = |key: &str, refused: Option<&str>| ReloadedKey {
            key: key.to_owned(),
            before: "1".to_owned(),
            now: "2".to_owned(),
            refused: refused.map(str::to_owned),
        };
        let mut told = Reloaded {
            changes: vec![change("a", Some("needs a restart")), change("b", None)],
            number: 4,
            ..Reloaded::default()
        };
        assert_eq!(
            reloaded(&told),
            "b: 1 -> 2\na: 1 -> 2: needs a restart\nNOTHING IS RELOADED: 1 OF 2 KEYS THAT DIFFER CANNOT CHANGE NOW\n"
        );
        told.changes.remove(0);
        (told.is_applied, told.is_taken) = (true, true);
        assert_eq!(
            reloaded(&told),
            "b: 1 -> 2\nreloaded: keys that changed: 1; table 4 of limits is in force\n"
        );
    }
}
