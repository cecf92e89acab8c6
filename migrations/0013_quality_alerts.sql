-- Flags of a call's sound that are raised now, until they are cleared or somebody was told; and since when a queue's
-- people were told last.

create table helpline.quality_raised (
    call_id uuid not null references public.voice_calls,
    flag text not null check (length(flag) between 1 and 32),
    -- Null for a condition of the room.
    leg_id uuid references helpline.call_legs,
    direction text check (direction in ('up', 'down')),
    raised_at timestamptz not null,
    constraint raised_once unique nulls not distinct (call_id, flag, leg_id, direction)
);
create index quality_raised_at on helpline.quality_raised (raised_at);

create table helpline.quality_quiet (
    queue text primary key references helpline.queues on update cascade,
    told_at timestamptz not null
);

grant select, insert, update, delete on helpline.quality_raised, helpline.quality_quiet to app_desk;
alter table helpline.quality_raised enable row level security;
alter table helpline.quality_raised force row level security;
alter table helpline.quality_quiet enable row level security;
alter table helpline.quality_quiet force row level security;
create policy desk_all on helpline.quality_raised to app_desk using (true) with check (true);
create policy desk_all on helpline.quality_quiet to app_desk using (true) with check (true);

-- Supabase gives new tables to everybody.
do $$
declare
    target record;
begin
    for target in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on helpline.quality_raised, helpline.quality_quiet from %I', target.rolname);
    end loop;
end
$$;
