-- Who muted himself and who was muted are two things: each is taken back by another person, and both may hold at once.
alter table helpline.call_intervals drop constraint call_intervals_kind_check;
alter table helpline.call_intervals add constraint call_intervals_kind_check check (kind in (
    'hold', 'mute', 'self_mute', 'pause', 'supervise', 'interrupted', 'away', 'consult', 'conference', 'shield'
));
