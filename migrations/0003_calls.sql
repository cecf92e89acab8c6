-- Calls, their stay in queues, offers, and everything that is told about them.
--
-- What must never happen is impossible here, whatever a program does: two live calls of one customer, two agents on
-- one call, an agent above his slots, a step that the state machine does not know, a change of what has ended.

create table helpline.media_nodes (
    id text primary key check (length(id) between 1 and 64),
    epoch bigint not null check (epoch > 0),
    ws_url text not null check (length(ws_url) <= 512),
    udp_addr text not null default '' check (length(udp_addr) <= 128),
    capacity_legs integer not null default 0 check (capacity_legs >= 0),
    load_legs integer not null default 0 check (load_legs >= 0),
    busy real not null default 0 check (busy >= 0),
    state text not null default 'up' check (state in ('up', 'draining', 'down')),
    lease_until timestamptz not null,
    started_at timestamptz not null default now()
);

-- The steps that exist. `call_model` has the same table in Rust; a test compares the two.
create table helpline.call_transitions (
    from_status text not null,
    to_status text not null,
    primary key (from_status, to_status)
);
insert into helpline.call_transitions (from_status, to_status) values
    ('initiated', 'queued'), ('initiated', 'abandoned'), ('initiated', 'failed'),
    ('queued', 'ringing'), ('queued', 'callback'), ('queued', 'abandoned'), ('queued', 'failed'),
    ('callback', 'ringing'), ('callback', 'queued'), ('callback', 'abandoned'), ('callback', 'failed'),
    ('ringing', 'connecting'), ('ringing', 'queued'), ('ringing', 'abandoned'), ('ringing', 'failed'),
    ('connecting', 'answered'), ('connecting', 'queued'), ('connecting', 'abandoned'), ('connecting', 'failed'),
    ('answered', 'completed'), ('answered', 'queued'), ('answered', 'ringing'), ('answered', 'failed');

create table helpline.offer_transitions (
    from_state text not null,
    to_state text not null,
    primary key (from_state, to_state)
);
insert into helpline.offer_transitions (from_state, to_state) values
    ('pending', 'accepted'), ('pending', 'rejected'), ('pending', 'timeout'), ('pending', 'rescinded'),
    ('pending', 'failed'),
    ('accepted', 'wrapping'), ('accepted', 'failed'), ('accepted', 'rescinded'),
    ('wrapping', 'completed');

create table public.voice_calls (
    id uuid primary key,
    user_id text not null check (length(user_id) between 1 and 128),
    customer_email text not null default '' check (octet_length(customer_email) <= 320),
    customer_name text not null default '' check (length(customer_name) <= 200),
    call_type text not null default 'voice' check (call_type = 'voice'),
    status text not null check (status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered',
        'completed', 'abandoned', 'failed')),
    end_reason text check (length(end_reason) <= 64),
    end_phase text check (length(end_phase) <= 32),
    assigned_staff_id uuid references helpline.staff,
    queue text not null references helpline.queues on update cascade,
    priority smallint not null default 0 check (priority between -100 and 100),
    node_id text not null references helpline.media_nodes,
    node_epoch bigint not null,
    -- Last event of media that was applied, of this node and epoch.
    media_seq bigint not null default 0 check (media_seq >= 0),
    -- Last plan handed to media.
    plan_epoch bigint not null default 0 check (plan_epoch >= 0),
    origin_chat_id uuid,
    origin_call_id uuid references public.voice_calls,
    outcome_code text check (length(outcome_code) <= 64),
    consent_version text check (length(consent_version) <= 64),
    created_at timestamptz not null default now(),
    enqueued_at timestamptz,
    connecting_at timestamptz,
    answered_at timestamptz,
    ended_at timestamptz,
    ver bigint not null default 1,
    constraint call_end_is_whole check ((status in ('completed', 'abandoned', 'failed')) = (ended_at is not null)),
    constraint call_end_has_a_reason check (ended_at is null or end_reason is not null),
    constraint call_was_answered check (status not in ('answered', 'completed') or answered_at is not null),
    constraint call_has_an_agent
        check (status not in ('connecting', 'answered', 'completed') or assigned_staff_id is not null),
    constraint call_waits_without_agent
        check (status not in ('initiated', 'queued', 'callback', 'ringing') or assigned_staff_id is null)
);
comment on table public.voice_calls is 'helpline: one row per call, from the click to its end';
create unique index one_live_call_per_customer on public.voice_calls (user_id)
    where status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered');
create index voice_calls_status on public.voice_calls (status);
create index voice_calls_live on public.voice_calls (node_id, node_epoch)
    where status in ('initiated', 'queued', 'callback', 'ringing', 'connecting', 'answered');
create index voice_calls_newest on public.voice_calls (created_at desc, id desc);
create index voice_calls_of_staff on public.voice_calls (assigned_staff_id, created_at desc);
create index voice_calls_email on public.voice_calls (lower(customer_email));

create function helpline.check_call_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'initiated' then
            raise exception 'a call begins as initiated, not as %', new.status
                using errcode = 'check_violation', constraint = 'call_begins_initiated';
        end if;
        return new;
    end if;
    if old.status in ('completed', 'abandoned', 'failed')
        and (new.outcome_code, new.ver, new.media_seq) is distinct from (old.outcome_code, old.ver, old.media_seq)
        and to_jsonb(new) - array['outcome_code', 'ver', 'media_seq']
            = to_jsonb(old) - array['outcome_code', 'ver', 'media_seq'] then
        -- The outcome and the receipt of late reports are all that may still come.
        return new;
    end if;
    if old.status in ('completed', 'abandoned', 'failed') and new is distinct from old then
        raise exception 'a call that has ended does not change'
            using errcode = 'check_violation', constraint = 'call_is_terminal';
    end if;
    if new.status <> old.status and not exists (
        select from helpline.call_transitions where from_status = old.status and to_status = new.status
    ) then
        raise exception 'no step leads from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'call_transition';
    end if;
    if (new.id, new.user_id, new.created_at) is distinct from (old.id, old.user_id, old.created_at) then
        raise exception 'a call keeps its identity'
            using errcode = 'check_violation', constraint = 'call_identity';
    end if;
    return new;
end
$$;
create trigger call_changes_by_the_table before insert or update on public.voice_calls
    for each row execute function helpline.check_call_change();

-- One stay in one queue. The place is a rank, computed, never stored.
create table public.call_queue (
    id uuid primary key,
    call_id uuid not null references public.voice_calls,
    queue text not null references helpline.queues on update cascade,
    priority smallint not null default 0,
    skills text[] not null default '{}',
    enqueued_at timestamptz not null,
    -- enqueued_at less one minute per step of priority: the order of two calls never changes.
    rank_at timestamptz not null,
    -- The customer must show himself before this.
    lease_until timestamptz not null,
    promised_wait_seconds integer,
    left_at timestamptz,
    left_reason text check (length(left_reason) <= 32),
    constraint segment_end_is_whole check ((left_at is null) = (left_reason is null))
);
comment on table public.call_queue is 'helpline: one row per stay of a call in a queue';
create unique index one_live_segment_per_call on public.call_queue (call_id) where left_at is null;
create index call_queue_order on public.call_queue (queue, rank_at, id) where left_at is null;
create index call_queue_of_call on public.call_queue (call_id);

create table helpline.offers (
    id uuid primary key,
    call_id uuid references public.voice_calls,
    -- No foreign key until chats come.
    chat_id uuid,
    contact_id uuid not null generated always as (coalesce(call_id, chat_id)) stored,
    channel text not null check (channel in ('call', 'chat')),
    staff_id uuid not null references helpline.staff,
    slot integer not null check (slot between 1 and 50),
    kind text not null default 'primary' check (kind in ('primary', 'consult', 'transfer')),
    exclusive boolean not null default true,
    state text not null default 'pending' check (state in ('pending', 'accepted', 'wrapping', 'completed', 'rejected',
        'timeout', 'rescinded', 'failed')),
    reason text check (length(reason) <= 64),
    created_at timestamptz not null default now(),
    -- Pending: until when it may be accepted. Wrapping: when the wrap-up ends by itself.
    expires_at timestamptz not null,
    accepted_at timestamptz,
    wrapping_at timestamptz,
    ended_at timestamptz,
    wrap_up_extensions smallint not null default 0 check (wrap_up_extensions between 0 and 3),
    ver bigint not null default 1,
    constraint offer_is_about_one_contact check (num_nonnulls(call_id, chat_id) = 1),
    constraint offer_channel_fits check ((channel = 'call') = (call_id is not null)),
    constraint offer_end_is_whole check ((state in ('pending', 'accepted', 'wrapping')) = (ended_at is null))
);
-- An agent never has more contacts than slots.
create unique index one_contact_per_slot on helpline.offers (staff_id, channel, slot)
    where state in ('pending', 'accepted', 'wrapping');
-- An exclusive contact is with one agent at a time.
create unique index one_exclusive_offer_per_contact on helpline.offers (contact_id)
    where kind = 'primary' and exclusive and state in ('pending', 'accepted');
-- Even when all are asked, one has it.
create unique index one_accepted_offer_per_contact on helpline.offers (contact_id)
    where kind = 'primary' and state = 'accepted';
-- Nobody is asked twice at once.
create unique index one_offer_per_contact_and_agent on helpline.offers (contact_id, staff_id)
    where state in ('pending', 'accepted');
create index offers_of_contact on helpline.offers (contact_id, created_at);
create index offers_freed on helpline.offers (staff_id, channel, ended_at desc);
create index offers_live on helpline.offers (state, expires_at) where state in ('pending', 'accepted', 'wrapping');

create function helpline.check_offer_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        if new.state = 'pending' or (new.state = 'accepted' and new.channel = 'chat') then
            return new;
        end if;
        raise exception 'an offer begins as pending, not as %', new.state
            using errcode = 'check_violation', constraint = 'offer_begins_pending';
    end if;
    if new.state <> old.state and not exists (
        select from helpline.offer_transitions where from_state = old.state and to_state = new.state
    ) then
        raise exception 'no step leads from % to %', old.state, new.state
            using errcode = 'check_violation', constraint = 'offer_transition';
    end if;
    if old.ended_at is not null and new is distinct from old then
        raise exception 'an offer that has ended does not change'
            using errcode = 'check_violation', constraint = 'offer_is_terminal';
    end if;
    if (new.id, new.call_id, new.chat_id, new.staff_id) is distinct from (old.id, old.call_id, old.chat_id, old.staff_id)
    then
        raise exception 'an offer keeps its contact and its agent'
            using errcode = 'check_violation', constraint = 'offer_identity';
    end if;
    return new;
end
$$;
create trigger offer_changes_by_the_table before insert or update on helpline.offers
    for each row execute function helpline.check_offer_change();

-- Not to be asked for a while: about one contact, or (contact_id all zero) about any.
create table helpline.cooldowns (
    staff_id uuid not null references helpline.staff on delete cascade,
    contact_id uuid not null default '00000000-0000-0000-0000-000000000000',
    until timestamptz not null,
    reason text not null,
    primary key (staff_id, contact_id)
);

create table helpline.call_events (
    call_id uuid not null references public.voice_calls,
    seq integer not null check (seq > 0),
    kind text not null check (length(kind) between 1 and 64),
    at timestamptz not null,
    actor text not null check (length(actor) between 1 and 128),
    data jsonb not null default '{}',
    primary key (call_id, seq)
);

create table helpline.call_legs (
    id uuid primary key,
    call_id uuid not null references public.voice_calls,
    part text not null check (part in ('customer', 'agent', 'partner', 'supervisor', 'preflight')),
    staff_id uuid references helpline.staff,
    node_id text not null references helpline.media_nodes,
    node_epoch bigint not null,
    state text not null default 'granted' check (state in ('granted', 'up', 'away', 'down')),
    granted_at timestamptz not null default now(),
    up_at timestamptz,
    first_rtp_at timestamptz,
    away_at timestamptz,
    down_at timestamptz,
    cause text check (length(cause) <= 32),
    packets_received bigint,
    packets_lost bigint,
    packets_sent bigint,
    rtt_ms_mean real,
    jitter_ms_mean real,
    mos_up real check (mos_up between 1 and 5),
    mos_down real check (mos_down between 1 and 5),
    up_seconds bigint,
    constraint leg_end_is_whole check ((state = 'down') = (down_at is not null))
);
create unique index one_live_leg_per_part on helpline.call_legs (call_id, part)
    where part in ('customer', 'agent') and state <> 'down';
create index call_legs_of_call on helpline.call_legs (call_id);

create table helpline.call_intervals (
    id bigint generated always as identity primary key,
    call_id uuid not null references public.voice_calls,
    kind text not null check (kind in ('hold', 'mute', 'pause', 'supervise', 'interrupted', 'away')),
    leg_id uuid references helpline.call_legs,
    staff_id uuid references helpline.staff,
    started_at timestamptz not null,
    ended_at timestamptz,
    data jsonb not null default '{}',
    constraint interval_is_forward check (ended_at >= started_at)
);
create index call_intervals_of_call on helpline.call_intervals (call_id, started_at);
create unique index one_open_interval on helpline.call_intervals (call_id, kind, leg_id) nulls not distinct
    where ended_at is null;

-- Contacts of an agent at this moment: derived from offers, never stored. Runs with the owner's eyes, for with
-- those of the reader row security would count only what he may see.
create function helpline.contact_count(agent uuid, of_channel text) returns integer
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select count(*)::integer from helpline.offers
    where staff_id = agent and channel = of_channel and state = 'accepted'
);

create function helpline.last_seen(agent uuid) returns timestamptz
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (select last_seen_at from helpline.staff_presence where staff_id = agent);

create view public.support_staff with (security_invoker = true) as
select id, user_id, staff_name, email, role, team_id, status, is_active, max_concurrent_chats, max_concurrent_calls,
    helpline.last_seen(id) as last_seen_at, created_at,
    helpline.contact_count(id, 'chat') as current_chat_count,
    helpline.contact_count(id, 'call') as current_call_count
from helpline.staff;
comment on view public.support_staff is 'helpline: the staff, with what each of them handles now';
