-- Teams, staff, presence, sessions, queues.

create table helpline.teams (
    id uuid primary key default gen_random_uuid(),
    name text not null unique check (length(name) between 1 and 100),
    created_at timestamptz not null default now()
);

create table helpline.staff (
    id uuid primary key default gen_random_uuid(),
    user_id text not null constraint one_staff_row_per_account unique check (length(user_id) between 1 and 128),
    staff_name text not null check (length(staff_name) between 1 and 100),
    email text not null check (octet_length(email) between 3 and 320),
    role text not null default 'agent' check (role in ('agent', 'team_lead', 'supervisor', 'admin', 'super_admin')),
    team_id uuid references helpline.teams,
    -- What the agent has chosen. What the server observes stands in staff_presence, or heartbeats would fight the router.
    status text not null default 'offline' check (status in ('online', 'away', 'offline')),
    away_reason text check (length(away_reason) <= 64),
    is_active boolean not null default true,
    max_concurrent_chats integer not null default 5 check (max_concurrent_chats between 0 and 50),
    max_concurrent_calls integer not null default 1 check (max_concurrent_calls between 0 and 10),
    created_at timestamptz not null default now()
);
create unique index one_staff_row_per_email on helpline.staff (lower(email));
create index staff_by_team on helpline.staff (team_id);

-- The teams that a supervisor or team lead looks after.
create table helpline.staff_teams (
    staff_id uuid not null references helpline.staff on delete cascade,
    team_id uuid not null references helpline.teams on delete cascade,
    primary key (staff_id, team_id)
);

-- Apart from staff, so that nobody who may read staff can read a hash.
create table helpline.staff_passwords (
    staff_id uuid primary key references helpline.staff on delete cascade,
    hash text not null,
    changed_at timestamptz not null default now()
);

create table helpline.staff_presence (
    staff_id uuid primary key references helpline.staff on delete cascade,
    lease_until timestamptz not null default '-infinity',
    last_seen_at timestamptz,
    rtt_ms integer check (rtt_ms >= 0),
    media_checked_at timestamptz,
    -- Going online starts the idle time; later of this and the last freed slot decides "longest idle".
    online_since timestamptz,
    -- Offers missed in a row; three put the agent away.
    strikes integer not null default 0 check (strikes >= 0)
);

create table helpline.staff_sessions (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    staff_id uuid not null references helpline.staff on delete cascade,
    via text not null default 'password' check (via in ('password', 'service', 'demo')),
    created_at timestamptz not null default now(),
    last_seen_at timestamptz not null default now(),
    ends_at timestamptz not null,
    revoked_at timestamptz
);
create index staff_sessions_of on helpline.staff_sessions (staff_id) where revoked_at is null;

create table helpline.queues (
    name text primary key check (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    title text not null check (length(title) between 1 and 100),
    is_default boolean not null default false,
    strategy text not null default 'longest_idle'
        check (strategy in ('longest_idle', 'least_occupied', 'round_robin', 'ring_all')),
    -- Null: the general setting.
    timeout_seconds integer check (timeout_seconds between 5 and 86400),
    ring_seconds integer not null default 20 check (ring_seconds between 5 and 300),
    wrap_up_seconds integer not null default 60 check (wrap_up_seconds between 0 and 3600),
    recording text not null default 'optional' check (recording in ('off', 'optional', 'required')),
    created_at timestamptz not null default now()
);
create unique index one_default_queue on helpline.queues ((true)) where is_default;

create table helpline.queue_members (
    queue text not null references helpline.queues on update cascade,
    staff_id uuid not null references helpline.staff on delete cascade,
    tier smallint not null default 1 check (tier between 1 and 9),
    primary key (queue, staff_id)
);
create index queue_members_of on helpline.queue_members (staff_id);

insert into helpline.teams (name) values ('Support');
insert into helpline.queues (name, title, is_default) values ('support', 'Support', true);
