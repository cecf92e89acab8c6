-- Third parties in a call: a colleague who is consulted or takes it over, a supervisor who takes it over.

-- The customer hears music while agent and colleague speak apart; then all three speak.
alter table helpline.call_intervals drop constraint call_intervals_kind_check;
alter table helpline.call_intervals add constraint call_intervals_kind_check
    check (kind in ('hold', 'mute', 'pause', 'supervise', 'interrupted', 'away', 'consult', 'conference'));

-- A consulted colleague who goes has nothing to write up. The table's own rows are the owner's for a moment.
alter table helpline.offer_transitions no force row level security;
insert into helpline.offer_transitions (from_state, to_state) values ('accepted', 'completed');
alter table helpline.offer_transitions force row level security;

-- One colleague at a time.
create unique index one_consult_per_contact on helpline.offers (contact_id)
    where kind = 'consult' and state in ('pending', 'accepted');
drop index helpline.one_live_leg_per_part;
create unique index one_live_leg_per_part on helpline.call_legs (call_id, part)
    where part in ('customer', 'agent', 'partner') and state <> 'down';

-- Whoever holds a slot for a contact sees it: a colleague who is asked, and an agent who writes up what another one
-- goes on with.
create function helpline.contacts_held_by(seen uuid[]) returns uuid[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
return array(
    select distinct o.contact_id from helpline.offers o
    where o.staff_id = any (seen) and o.state in ('pending', 'accepted', 'wrapping')
);
create function helpline.visible_contacts() returns uuid[]
language sql stable
set search_path = pg_catalog, pg_temp
return helpline.contacts_held_by(helpline.visible_staff());
revoke all on function helpline.contacts_held_by(uuid[]), helpline.visible_contacts() from public;
grant execute on function helpline.contacts_held_by(uuid[]), helpline.visible_contacts() to app_staff;
alter policy staff_scope on public.voice_calls using (
    (select helpline.sees_all())
    or assigned_staff_id = any ((select helpline.visible_staff())::uuid[])
    or (assigned_staff_id is null and queue = any ((select helpline.visible_queues())::text[]))
    or id = any ((select helpline.visible_contacts())::uuid[])
);
do $$
begin
    if exists (select from pg_roles where rolname = 'authenticated') then
        grant execute on function helpline.contacts_held_by(uuid[]), helpline.visible_contacts() to authenticated;
    end if;
end
$$;
