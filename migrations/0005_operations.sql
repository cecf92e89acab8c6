-- Settings, audit, outbox, the feed of the hubs, and what nodes tell one another.

-- Filled only for debugging; personal data, gone after a day.
create table public.webrtc_signaling (
    id bigint generated always as identity primary key,
    call_id uuid references public.voice_calls,
    from_peer text not null check (length(from_peer) <= 128),
    to_peer text check (length(to_peer) <= 128),
    type text not null check (length(type) <= 64),
    payload jsonb not null default '{}',
    created_at timestamptz not null default now(),
    expires_at timestamptz not null default now() + interval '24 hours'
);
comment on table public.webrtc_signaling is 'helpline: signalling messages, only while debugging asks for them';
create index webrtc_signaling_expiry on public.webrtc_signaling (expires_at);
create index webrtc_signaling_of_call on public.webrtc_signaling (call_id);

create table public.support_activity_logs (
    id bigint generated always as identity primary key,
    actor_id text not null check (length(actor_id) <= 128),
    actor_role text not null check (length(actor_role) <= 32),
    action text not null check (length(action) between 1 and 64),
    subject_type text not null check (length(subject_type) <= 32),
    subject_id text not null check (length(subject_id) <= 128),
    reason text check (length(reason) <= 200),
    ip inet,
    created_at timestamptz not null default clock_timestamp(),
    prev_hash bytea,
    hash bytea
);
comment on table public.support_activity_logs is 'helpline: who did what to what; rows are only ever added';
create index support_activity_logs_created_at on public.support_activity_logs (created_at);
create index support_activity_logs_subject on public.support_activity_logs (subject_type, subject_id);

create function helpline.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% only grows', tg_table_name using errcode = 'check_violation', constraint = 'append_only';
end
$$;
create trigger audit_only_grows before update or delete or truncate on public.support_activity_logs
    for each statement execute function helpline.refuse_change();
create trigger events_only_grow before update or delete or truncate on helpline.call_events
    for each statement execute function helpline.refuse_change();

create table public.support_settings (
    key text primary key check (key ~ '^[A-Za-z_]{1,64}$'),
    value jsonb not null check (jsonb_typeof(value) = 'object'),
    version bigint not null default 1,
    updated_by text not null default 'migration',
    updated_at timestamptz not null default now()
);
comment on table public.support_settings is 'helpline: settings by group; a missing leaf has its default';
create table helpline.settings_history (
    key text not null,
    version bigint not null,
    value jsonb not null,
    updated_by text not null,
    updated_at timestamptz not null,
    primary key (key, version)
);
create function helpline.keep_setting() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into helpline.settings_history (key, version, value, updated_by, updated_at)
    values (new.key, new.version, new.value, new.updated_by, new.updated_at);
    return new;
end
$$;
create trigger settings_are_kept after insert or update on public.support_settings
    for each row execute function helpline.keep_setting();

-- Values of the integration guide; a leaf that is missing has the same default in the program.
insert into public.support_settings (key, value) values
    ('CHAT_CONFIG',
        '{"auto_assign_enabled": true, "max_concurrent_chats_per_agent": 5, "queue_timeout_seconds": 300}'),
    ('NOTIFICATION_CONFIG',
        '{"notifyStaffOnNewChat": true, "notifyAdminOnEscalation": true, "notifyCustomerOnResolution": true,
          "notifyStaffOnIncomingCall": true, "notifyOnQualityAlert": true,
          "emailFrom": "support@bank.alghahim.co.ke"}');

-- Work for the outside world: written with the decision, carried out later, at least once.
create table helpline.outbox (
    id bigint generated always as identity primary key,
    kind text not null check (length(kind) between 1 and 64),
    -- The same thing is asked for once.
    dedup_key text not null constraint outbox_once unique check (length(dedup_key) <= 200),
    payload jsonb not null default '{}',
    created_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    attempts integer not null default 0,
    last_error text,
    done_at timestamptz,
    dead_at timestamptz
);
create index outbox_due on helpline.outbox (due_at) where done_at is null and dead_at is null;
create view helpline.outbox_dead with (security_invoker = true) as
select id, kind, created_at, attempts, last_error, dead_at from helpline.outbox where dead_at is not null;

-- What browsers must hear. Numbers are drawn before commit, so their order is not the order of commits: readers go by
-- the transaction and stay below the oldest running one.
create table helpline.hub_events (
    id bigint generated always as identity primary key,
    xid xid8 not null default pg_current_xact_id(),
    audience text not null check (audience in ('user', 'staff', 'all_staff')),
    audience_id text check (length(audience_id) <= 128),
    kind text not null check (length(kind) between 1 and 64),
    data jsonb not null,
    at timestamptz not null default clock_timestamp(),
    constraint audience_is_whole check ((audience = 'all_staff') = (audience_id is null))
);
create index hub_events_cursor on helpline.hub_events (xid, id);
create index hub_events_age on helpline.hub_events (at);

create table helpline.node_commands (
    id bigint generated always as identity primary key,
    node_id text not null references helpline.media_nodes,
    epoch bigint not null,
    call_id uuid,
    kind text not null check (kind in ('close_room', 'close_leg', 'plan', 'drain')),
    args jsonb not null default '{}',
    created_at timestamptz not null default now(),
    done_at timestamptz
);
create index node_commands_open on helpline.node_commands (node_id, id) where done_at is null;

create table helpline.idempotency_keys (
    actor text not null check (length(actor) <= 160),
    key text not null check (length(key) between 1 and 128),
    request_hash bytea not null check (octet_length(request_hash) = 32),
    status smallint not null,
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (actor, key)
);
create index idempotency_keys_age on helpline.idempotency_keys (created_at);
