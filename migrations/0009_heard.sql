-- What clients say that they heard (`getStats()`), beside what the server measured and never in the same columns.

-- A row per report: a value per second in each array, the newest last. `slot` counts five seconds each, so that nobody
-- can report more often than that.
create table helpline.quality_heard (
    call_id uuid not null,
    part text not null,
    slot bigint not null,
    at timestamptz not null,
    loss real[] not null,
    jitter_ms real[] not null,
    rtt_ms real[] not null,
    mos real[] not null,
    primary key (call_id, part, slot),
    constraint heard_by_a_side check (part in ('customer', 'agent')),
    constraint as_many_of_each check (
        cardinality(loss) between 1 and 15
        and cardinality(loss) = all (array[cardinality(jitter_ms), cardinality(rtt_ms), cardinality(mos)])
    )
);

grant select, insert on helpline.quality_heard to app_desk;
grant select on helpline.quality_heard to app_staff;
alter table helpline.quality_heard enable row level security;
alter table helpline.quality_heard force row level security;
create policy desk_all on helpline.quality_heard to app_desk using (true) with check (true);
create policy staff_scope on helpline.quality_heard for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));

-- Supabase gives new tables to everybody.
do $$
declare
    target record;
begin
    for target in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on helpline.quality_heard from %I', target.rolname);
    end loop;
end
$$;
