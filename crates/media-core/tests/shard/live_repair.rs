//! How late a repaired packet may be to go to whoever listens: at the limit, and on either side of it.

use media_core::limits::{MS, REPAIR_LIVE_SAMPLES_MAX};
use media_core::tap::Flags;

use crate::Call;

/// Samples of a millisecond at 48 kHz.
const MS_SAMPLES: u32 = 48;

#[test]
fn a_repair_is_live_until_the_newest_sound_is_60_ms_ahead() {
    assert_eq!(REPAIR_LIVE_SAMPLES_MAX, 60 * MS_SAMPLES);
    for (ahead, is_live) in [
        (59 * MS_SAMPLES, true),
        (60 * MS_SAMPLES - 1, true),
        (60 * MS_SAMPLES, false),
        (60 * MS_SAMPLES + 1, false),
        (61 * MS_SAMPLES, false),
    ] {
        let mut call = Call::of(|customer, agent| {
            customer.nack = true;
            agent.nack = true;
        });
        assert!(call.customer_is_heard());
        let begin = call.customer.timestamp;
        let lost = call.customer.speak(b"lost");
        call.customer.timestamp = begin.wrapping_add(ahead);
        assert!(call.customer_is_heard());
        // It is asked for.
        call.bed.advance(20 * MS);
        let sent = call.arrives(&lost);
        let heard: Vec<_> = call
            .agent
            .open_all(&sent)
            .into_iter()
            .map(|heard| heard.payload)
            .collect();
        let expected = if is_live { vec![b"lost".to_vec()] } else { Vec::new() };
        assert_eq!(heard, expected, "{ahead} samples behind the newest");
        let taped = call.bed.tape.records.last().expect("something was taped");
        assert!(
            taped.packet.ends_with(b"lost") && taped.flags.contains(Flags::RTX),
            "{taped:?}"
        );
        let totals = call.bed.shard.totals();
        assert_eq!((totals.repaired_rtx, totals.repaired_late), (1, u64::from(!is_live)));
    }
}
