-- Whether the recorder took the call when it was answered: an order that it had no room for leaves a recording without
-- sound, and nobody may be told that such a call is recorded.
alter table helpline.recordings add column taken boolean not null default true;
