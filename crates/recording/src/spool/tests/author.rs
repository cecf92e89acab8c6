//! Who wanted what an event tells of.

use super::*;

#[test]
fn who_wanted_an_event_is_read_back_and_one_of_a_version_before_has_nobody() {
    let told = |by: Option<By>| {
        let mut out = Vec::new();
        let told = Event {
            at_ns: 5,
            kind: EventKind::Held,
            value: 0,
            leg: 0,
            part: Part::Customer,
            by,
        };
        event(&mut out, Tag::of_call(CALL, 0), &told);
        let read: Vec<_> = Reader::blocks(&out).collect();
        let [
            Block {
                body: Body::Event(read),
                ..
            },
        ] = &read[..]
        else {
            panic!("one event")
        };
        assert_eq!(*read, told);
        (out.len(), told.by)
    };
    // The form of the version before has no byte behind the value.
    let (plain, _) = told(None);
    assert_eq!(plain, BLOCK_FRAME_BYTES + 17);
    told(Some(By::new("agent", None)));
    told(Some(By::new("supervisor", Some("training"))));
    // At the limits, and beyond them: cut, never in the middle of a character.
    let long = "é".repeat(WORD_BYTES_MAX);
    let (_, cut) = told(Some(By::new(&"r".repeat(ROLE_BYTES_MAX + 1), Some(&long))));
    let cut = cut.expect("it was told");
    assert_eq!(
        (cut.role().len(), cut.reason().map(str::len)),
        (ROLE_BYTES_MAX, Some(WORD_BYTES_MAX))
    );
    let (_, odd) = told(Some(By::new("x", Some(&format!("a{long}")))));
    assert_eq!(odd.and_then(|by| by.reason().map(str::len)), Some(WORD_BYTES_MAX - 1));
    assert_eq!(By::new("x", Some("")).reason(), None);
}

#[test]
fn an_author_that_is_longer_than_it_may_be_or_than_its_block_is_no_event() {
    let fields = [[0u8; 8].as_slice(), &[7], &[0; 8]].concat();
    let with = |tail: &[u8]| [fields.as_slice(), tail].concat();
    let sound = |body: &[u8]| Reader::blocks(&forged(TYPE_EVENT, body.len() as u32, body)).count();
    assert_eq!(sound(&with(&[])), 1);
    assert_eq!(sound(&with(&[1, b'a', 0, 0])), 1);
    for tail in [
        &[1][..],
        &[1, b'a'],
        &[1, b'a', 0],
        &[1, b'a', 1, 0],
        &[1, b'a', 0, 0, 9],
        &[1, 0xff, 0, 0],
        &[ROLE_BYTES_MAX as u8 + 1; ROLE_BYTES_MAX + 4],
    ] {
        assert_eq!(sound(&with(tail)), 0, "{tail:?}");
    }
}
