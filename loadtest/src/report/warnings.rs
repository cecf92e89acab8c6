//! What makes the figures of a run doubtful: it stands above them, so that nobody has to know where to look.

use serde_json::Value;

/// Figures that are 0 in a run that went well, and what another number says. The same name may stand in several places:
/// the largest of them is told.
const WORDS: &[(&str, &str)] = &[
    (
        "calls_remade",
        "calls failed or came up with somebody who heard nobody, and were made again: what is measured are those that went well",
    ),
    (
        "legs_reseated",
        "calls had to be connected again before they were measured",
    ),
    (
        "rooms_refilled",
        "rooms had to be filled again before they were measured",
    ),
    ("duplicates", "packets reached a leg more than once"),
    (
        "duplicates_after",
        "packets reached a leg more than once after the hold",
    ),
    ("floor_duplicates", "packets of the floor reached a leg more than once"),
    ("legs_fallen", "legs of the generator ended with a fault of their own"),
    (
        "dropped_unread",
        "datagrams were thrown away at the generator's own sockets: lost, and not by the server",
    ),
    (
        "not_sent",
        "datagrams were not taken by the kernel: lost, and not by the server",
    ),
];

/// One sentence for each that is not 0.
pub(super) fn of(figures: &Value) -> Vec<String> {
    let said = WORDS.iter().filter_map(|(name, words)| {
        let most = largest(figures, name);
        (most > 0).then(|| format!("{name} {most}: {words}"))
    });
    said.collect()
}

/// The largest number of that name, however deep it lies; 0 when there is none.
fn largest(value: &Value, name: &str) -> u64 {
    match value {
        Value::Object(fields) => {
            let own = fields.get(name).and_then(Value::as_u64).unwrap_or_default();
            fields.values().map(|value| largest(value, name)).fold(own, u64::max)
        }
        Value::Array(all) => all.iter().map(|value| largest(value, name)).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::of;

    #[test]
    fn what_was_made_again_or_came_twice_is_said_and_a_good_run_says_nothing() {
        let good = json!({ "calls_remade": 0, "steps": [{ "duplicates": 0, "generator": { "not_sent": 0 } }] });
        assert_eq!(of(&good), Vec::<String>::new());
        let bad = json!({ "calls_remade": 2, "duplicates": 0, "steps": [{ "duplicates": 7 }, { "duplicates": 3 }] });
        let said = of(&bad);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("calls_remade 2:") && said[1].starts_with("duplicates 7:"),
            "{said:?}"
        );
    }
}
