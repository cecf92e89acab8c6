//! What opening and sealing one voice packet in place costs, for each protection profile.

use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use media_core::srtp::{Keys, Profile, RTP_OVERHEAD_MAX, Role};

/// Bytes of an Opus packet of 20 ms at about 35 kbit/s.
const PAYLOAD: usize = 88;
/// Bytes of the header: fixed part and one extension with the level.
const HEAD: usize = 20;
const PROFILES: [Profile; 3] = [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::AesCm128Sha1];

fn keys(profile: Profile, role: Role) -> Keys {
    let material: Vec<u8> = (0..profile.keying_material_len() as u8).collect();
    Keys::derive(profile, &material, role).expect("the length is the profile's")
}

/// A plain packet with room for its tag.
fn packet() -> Vec<u8> {
    let mut packet = vec![
        0x90, 111, 0, 0, 0, 0, 0, 0, 0xAB, 0xCD, 0, 1, 0xBE, 0xDE, 0, 1, 0x10, 0x9E, 0, 0,
    ];
    packet.resize(HEAD + PAYLOAD, 0x5A);
    packet.resize(HEAD + PAYLOAD + RTP_OVERHEAD_MAX, 0);
    packet
}

/// Writes the sequence number of an index, and seals; what is sealed may be another packet's ciphertext.
fn seal(keys: &mut Keys, packet: &mut [u8], index: u64) -> usize {
    packet[2..4].copy_from_slice(&(index as u16).to_be_bytes());
    let sealed = keys.outbound.seal_rtp(packet, HEAD + PAYLOAD, index);
    sealed.expect("a good packet and room for its tag")
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("srtp");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .throughput(Throughput::Elements(1));
    for profile in PROFILES {
        let (mut client, mut server) = (keys(profile, Role::Client), keys(profile, Role::Server));
        let (mut buffer, mut index) = (packet(), 0);
        group.bench_function(BenchmarkId::new("seal", format!("{profile:?}")), |bench| {
            bench.iter(|| {
                index += 1;
                seal(&mut server, &mut buffer, index)
            });
        });
        let mut index = 0;
        let mut sealed = || {
            index += 1;
            let mut packet = packet();
            let len = seal(&mut client, &mut packet, index);
            packet.truncate(len);
            packet
        };
        group.bench_function(BenchmarkId::new("open", format!("{profile:?}")), |bench| {
            let open = |packet: &mut Vec<u8>| server.inbound.open_rtp(packet).expect("sealed by the other side").len;
            bench.iter_batched_ref(&mut sealed, open, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(srtp, benches);
criterion_main!(srtp);
