-- Who may see and do what: grants, and row level security that holds for the owner too.
--
-- app_desk writes; app_staff and app_customer only ever read; nobody else has anything. Without a context (no user,
-- no member of staff set) a reader sees no row.

-- The caller as a member of staff. For a Supabase client it is looked up by its verified subject, for our own role the
-- desk has said it.
create function helpline.staff_of_subject(subject text, out id uuid, out role text, out teams uuid[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
return (
    select row(s.id, s.role,
        array(select t.team_id from helpline.staff_teams t where t.staff_id = s.id) || s.team_id)
    from helpline.staff s where s.user_id = subject and s.is_active
);

create function helpline.staff_id() returns uuid
language sql stable
set search_path = pg_catalog, pg_temp
return case current_user
    when 'app_staff' then nullif(current_setting('app.staff_id', true), '')::uuid
    when 'authenticated' then (select id from helpline.staff_of_subject(helpline.uid()))
end;

create function helpline.staff_role() returns text
language sql stable
set search_path = pg_catalog, pg_temp
return case current_user
    when 'app_staff' then nullif(current_setting('app.role', true), '')
    when 'authenticated' then (select role from helpline.staff_of_subject(helpline.uid()))
end;

create function helpline.staff_team_ids() returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
return case current_user
    when 'app_staff' then string_to_array(nullif(current_setting('app.team_ids', true), ''), ',')::uuid[]
    when 'authenticated' then (select teams from helpline.staff_of_subject(helpline.uid()))
end;

create function helpline.sees_all() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return coalesce(helpline.staff_role() in ('admin', 'super_admin'), false);

-- The staff whose contacts `me` may see: himself, and his teams' people when he leads or supervises them.
create function helpline.staff_seen_by(me uuid, my_role text, my_teams uuid[]) returns uuid[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
return array(
    select s.id from helpline.staff s
    where s.id = me or (my_role in ('team_lead', 'supervisor') and s.team_id = any (my_teams))
);

create function helpline.queues_seen_by(seen uuid[]) returns text[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
return array(select distinct m.queue from helpline.queue_members m where m.staff_id = any (seen));

create function helpline.visible_staff() returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
return helpline.staff_seen_by(helpline.staff_id(), helpline.staff_role(), helpline.staff_team_ids());

create function helpline.visible_queues() returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
return helpline.queues_seen_by(helpline.visible_staff());

-- Nothing by default, for functions too.
revoke all on all functions in schema helpline from public;
grant execute on function helpline.uid() to app_customer, app_staff, app_desk;
grant execute on function helpline.staff_id(), helpline.staff_role(), helpline.staff_team_ids(), helpline.sees_all(),
    helpline.visible_staff(), helpline.visible_queues(), helpline.staff_seen_by(uuid, text, uuid[]),
    helpline.queues_seen_by(uuid[]), helpline.staff_of_subject(text) to app_staff;
grant execute on function helpline.contact_count(uuid, text), helpline.last_seen(uuid) to app_staff, app_desk;
grant execute on function helpline.ensure_quality_month(timestamptz) to app_desk;

-- What the desk may do to each table.
grant select, insert, update on
    public.voice_calls, public.call_queue, public.support_staff, public.support_settings,
    helpline.teams, helpline.staff, helpline.staff_presence, helpline.staff_passwords, helpline.queues,
    helpline.media_nodes, helpline.offers, helpline.call_legs, helpline.call_intervals, helpline.recordings
    to app_desk;
grant select, insert, update, delete on
    helpline.staff_teams, helpline.staff_sessions, helpline.queue_members, helpline.cooldowns, helpline.outbox,
    helpline.hub_events, helpline.node_commands, helpline.idempotency_keys, public.webrtc_signaling
    to app_desk;
grant select, insert on
    helpline.call_events, helpline.recording_steps, helpline.quality_samples, public.support_activity_logs
    to app_desk;
grant select on
    helpline.call_transitions, helpline.offer_transitions, helpline.outbox_dead, helpline.settings_history
    to app_desk;

-- What readers may look at.
grant select on public.voice_calls, public.call_queue to app_customer;
grant select on
    public.voice_calls, public.call_queue, public.support_staff, public.support_activity_logs, public.support_settings,
    helpline.staff, helpline.teams, helpline.queues, helpline.queue_members, helpline.staff_presence, helpline.offers,
    helpline.call_events, helpline.call_legs, helpline.call_intervals, helpline.recordings, helpline.quality_samples
    to app_staff;

do $$
declare
    name regclass;
begin
    for name in
        select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p')
            and (n.nspname = 'helpline' and c.relname <> '_sqlx_migrations'
                or n.nspname = 'public' and c.relname in ('voice_calls', 'call_queue', 'webrtc_signaling',
                    'support_activity_logs', 'support_settings'))
    loop
        execute format('alter table %s enable row level security', name);
        execute format('alter table %s force row level security', name);
        -- The grants say which verbs; the desk is not limited to rows.
        execute format('create policy desk_all on %s to app_desk using (true) with check (true)', name);
    end loop;
end
$$;

-- The owner's own functions look at these; nothing else of the owner's gets past FORCE.
create policy owner_counts on helpline.offers for select to current_user using (true);
create policy owner_sees_presence on helpline.staff_presence for select to current_user using (true);
create policy owner_knows_staff on helpline.staff for select to current_user using (true);
create policy owner_knows_teams on helpline.staff_teams for select to current_user using (true);
create policy owner_knows_members on helpline.queue_members for select to current_user using (true);
create policy owner_keeps_history on helpline.settings_history for insert to current_user with check (true);

-- Customers: their own rows.
create policy customer_own on public.voice_calls for select to app_customer
    using (user_id = (select helpline.uid()));
create policy customer_own on public.call_queue for select to app_customer
    using (exists (select from public.voice_calls c where c.id = call_id));

-- Staff: what they or their people handle, and what waits unassigned in a queue they serve.
create policy staff_scope on public.voice_calls for select to app_staff using (
    (select helpline.sees_all())
    or assigned_staff_id = any ((select helpline.visible_staff())::uuid[])
    or (assigned_staff_id is null and queue = any ((select helpline.visible_queues())::text[]))
);
create policy staff_scope on public.call_queue for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.offers for select to app_staff
    using ((select helpline.sees_all()) or staff_id = any ((select helpline.visible_staff())::uuid[]));
create policy staff_scope on helpline.call_events for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.call_legs for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.call_intervals for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.recordings for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.quality_samples for select to app_staff
    using (exists (select from public.voice_calls c where c.id = call_id));
create policy staff_scope on helpline.staff for select to app_staff
    using ((select helpline.sees_all()) or id = any ((select helpline.visible_staff())::uuid[]));
create policy staff_scope on helpline.staff_presence for select to app_staff
    using ((select helpline.sees_all()) or staff_id = any ((select helpline.visible_staff())::uuid[]));
create policy staff_scope on helpline.teams for select to app_staff using ((select helpline.staff_id()) is not null);
create policy staff_scope on helpline.queues for select to app_staff using ((select helpline.staff_id()) is not null);
create policy staff_scope on helpline.queue_members for select to app_staff
    using ((select helpline.sees_all()) or staff_id = any ((select helpline.visible_staff())::uuid[]));
create policy admin_reads on public.support_activity_logs for select to app_staff using ((select helpline.sees_all()));
create policy staff_reads on public.support_settings for select to app_staff
    using ((select helpline.staff_id()) is not null);

-- Supabase: its default privileges give new tables to everybody. Take that back, then let a signed-in client read what
-- the same policies show to its subject.
do $$
declare
    target record;
begin
    for target in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on public.voice_calls, public.call_queue, public.support_staff,
            public.webrtc_signaling, public.support_activity_logs, public.support_settings from %I', target.rolname);
        execute format('revoke all on all tables in schema helpline from %I', target.rolname);
    end loop;
    if exists (select from pg_roles where rolname = 'authenticated') then
        grant usage on schema helpline to authenticated;
        grant execute on function helpline.uid(), helpline.staff_id(), helpline.staff_role(), helpline.staff_team_ids(),
            helpline.sees_all(), helpline.visible_staff(), helpline.visible_queues(),
            helpline.staff_seen_by(uuid, text, uuid[]), helpline.queues_seen_by(uuid[]),
            helpline.staff_of_subject(text), helpline.contact_count(uuid, text), helpline.last_seen(uuid)
            to authenticated;
        grant select on public.voice_calls, public.call_queue, public.support_staff, helpline.staff to authenticated;
        alter policy customer_own on public.voice_calls to app_customer, authenticated;
        alter policy customer_own on public.call_queue to app_customer, authenticated;
        alter policy staff_scope on public.voice_calls to app_staff, authenticated;
        alter policy staff_scope on public.call_queue to app_staff, authenticated;
        alter policy staff_scope on helpline.staff to app_staff, authenticated;
    end if;
end
$$;
