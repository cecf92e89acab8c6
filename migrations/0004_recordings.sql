-- Recordings and quality.

create table helpline.recordings (
    id uuid primary key,
    call_id uuid not null references public.voice_calls,
    node_id text not null references helpline.media_nodes,
    state text not null default 'recording' check (state in ('recording', 'finalising', 'stored', 'failed', 'shredded')),
    policy text not null check (policy in ('optional', 'required')),
    customer_left boolean not null default true,
    consent_version text check (length(consent_version) <= 64),
    started_at timestamptz not null,
    ended_at timestamptz,
    stored_at timestamptz,
    reason text check (length(reason) <= 64),
    duration_ms bigint check (duration_ms >= 0),
    layout text check (layout in ('two_channel', 'split', 'empty')),
    coverage_customer real check (coverage_customer between 0 and 1),
    coverage_agent real check (coverage_agent between 0 and 1),
    degraded boolean not null default false,
    audio_key text,
    audio_size bigint check (audio_size >= 0),
    audio_sha256 bytea check (octet_length(audio_sha256) = 32),
    peaks_key text,
    peaks_size bigint check (peaks_size >= 0),
    peaks_sha256 bytea check (octet_length(peaks_sha256) = 32),
    manifest_key text,
    manifest_size bigint check (manifest_size >= 0),
    manifest_sha256 bytea check (octet_length(manifest_sha256) = 32),
    constraint stored_is_whole check (state <> 'stored'
        or num_nulls(stored_at, duration_ms, layout, audio_key, audio_size, audio_sha256, manifest_key) = 0)
);
create index recordings_of_call on helpline.recordings (call_id);
create unique index one_running_recording_per_call on helpline.recordings (call_id) where state = 'recording';

-- What media's store has told us; a step told twice is one.
create table helpline.recording_steps (
    recording_id uuid not null,
    step text not null check (length(step) <= 32),
    at timestamptz not null,
    primary key (recording_id, step)
);

-- One row per leg and direction, a value per second in each column; arrays compress well.
-- Partitioned by the month of the call, which also makes a repeated delivery find its own row.
create table helpline.quality_samples (
    call_at timestamptz not null,
    call_id uuid not null,
    leg_id uuid not null,
    part text not null,
    uplink boolean not null,
    start_ms bigint not null,
    expected integer[] not null,
    received integer[] not null,
    lost integer[] not null,
    residual_lost integer[] not null,
    jitter_ms real[] not null,
    rtt_ms real[] not null,
    level smallint[] not null,
    mos real[] not null,
    mos_mean real,
    primary key (call_at, call_id, leg_id, uplink)
) partition by range (call_at);
create index quality_of_call on helpline.quality_samples (call_id);

-- Makes the partition of a month when it is missing.
create function helpline.ensure_quality_month(moment timestamptz) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
    first timestamptz := date_trunc('month', moment);
    name text := 'quality_samples_' || to_char(first, 'YYYY_MM');
begin
    if to_regclass('helpline.' || name) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('helpline.quality_samples'));
    if to_regclass('helpline.' || name) is null then
        execute format('create table helpline.%I partition of helpline.quality_samples for values from (%L) to (%L)',
            name, first, first + interval '1 month');
        execute format('alter table helpline.%I enable row level security', name);
        execute format('alter table helpline.%I force row level security', name);
    end if;
end
$$;
