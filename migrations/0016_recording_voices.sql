-- Who was heard beside customer and agent: a colleague in a conference, a supervisor who joined. Each has a mono file of
-- his own that begins and ends with the master. Rows go with their recording: whatever is done to its files is done to
-- these.

create table helpline.recording_voices (
    recording_id uuid not null references helpline.recordings on delete cascade,
    number smallint not null check (number between 1 and 16),
    leg_id uuid not null,
    part text not null,
    audio_key text not null,
    audio_size bigint not null check (audio_size >= 0),
    audio_sha256 bytea not null check (octet_length(audio_sha256) = 32),
    coverage real not null check (coverage between 0 and 1),
    -- Pairs of from and to, milliseconds from the start, in which the customer was to hear him.
    heard_ms bigint[] not null,
    primary key (recording_id, number),
    constraint beside_the_sides check (part in ('partner', 'supervisor')),
    constraint heard_in_pairs check (cardinality(heard_ms) % 2 = 0)
);

grant select, insert on helpline.recording_voices to app_desk;
grant select on helpline.recording_voices to app_staff;
alter table helpline.recording_voices enable row level security;
alter table helpline.recording_voices force row level security;
create policy desk_all on helpline.recording_voices to app_desk using (true) with check (true);
create policy staff_scope on helpline.recording_voices for select to app_staff
    using (exists (select from helpline.recordings r where r.id = recording_id));

-- Supabase gives new tables to everybody.
do $$
declare
    target record;
begin
    for target in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on helpline.recording_voices from %I', target.rolname);
    end loop;
end
$$;
