-- Spans of a call in which nobody gets the keys that are pressed (telephone events). `data.mode` is `always` where the
-- house shields every call.
alter table helpline.call_intervals drop constraint call_intervals_kind_check;
alter table helpline.call_intervals add constraint call_intervals_kind_check check (
    kind in ('hold', 'mute', 'pause', 'supervise', 'interrupted', 'away', 'consult', 'conference', 'shield')
);
