-- Who began and who ended a span of a call, and the words they gave. Actors as in the call's history: `staff:<name>`,
-- `system:<part>`, `customer`. What ends with the call is ended by whoever ended the call.

alter table helpline.call_intervals
    add column actor text check (length(actor) <= 200),
    add column reason text check (length(reason) <= 64),
    add column ended_actor text check (length(ended_actor) <= 200),
    add column ended_reason text check (length(ended_reason) <= 64),
    add constraint only_what_ended_was_ended check (ended_at is not null or num_nonnulls(ended_actor, ended_reason) = 0);
