-- Over what a leg's media goes: straight to us, or through our relay and over what its client reaches that. Changes in
-- the course of a call stand in its history; here stands the last way.

alter table helpline.call_legs add column path text
    constraint leg_path check (path in ('direct', 'turn-udp', 'turn-tcp', 'turn-tls'));
