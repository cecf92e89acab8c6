-- Line tests: the links that staff hand out, and what came of each test. Counted, never addressed: no column and no
-- report has room for an address.

create table helpline.preflight_links (
    id uuid primary key,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    made_by uuid not null references helpline.staff,
    note text check (length(note) between 1 and 64),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    -- Tests that it has opened: one visitor may try again, and the link is no door for many.
    uses smallint not null default 0 constraint link_uses check (uses between 0 and 5)
);
create index preflight_links_expiry on helpline.preflight_links (expires_at);

create table helpline.preflights (
    id uuid primary key,
    -- Read out over the telephone: no letter that looks or sounds like another digit.
    code text not null check (code ~ '^[A-HJ-NP-Z2-9]{6}$'),
    via text not null check (via in ('staff', 'customer', 'link', 'service')),
    staff_id uuid references helpline.staff,
    user_id text check (length(user_id) between 1 and 128),
    link_id uuid references helpline.preflight_links on delete set null,
    note text check (length(note) between 1 and 64),
    grant_hash bytea not null check (octet_length(grant_hash) = 32),
    created_at timestamptz not null default now(),
    report jsonb check (jsonb_typeof(report) = 'object' and length(report::text) <= 8192),
    reported_at timestamptz,
    line jsonb check (jsonb_typeof(line) = 'object' and length(line::text) <= 1024),
    constraint report_has_a_time check ((report is null) = (reported_at is null)),
    constraint tester_is_known check (
        (via = 'staff') = (staff_id is not null) and (via = 'customer') = (user_id is not null)
    )
);
create index preflights_newest on helpline.preflights (created_at desc, id desc);
create index preflights_of_link on helpline.preflights (link_id);

grant select, insert, update, delete on helpline.preflight_links, helpline.preflights to app_desk;
grant select on helpline.preflight_links, helpline.preflights to app_staff;

alter table helpline.preflight_links enable row level security;
alter table helpline.preflight_links force row level security;
alter table helpline.preflights enable row level security;
alter table helpline.preflights force row level security;
create policy desk_all on helpline.preflight_links to app_desk using (true) with check (true);
create policy desk_all on helpline.preflights to app_desk using (true) with check (true);

-- Whoever made a link sees it and its tests; everybody sees his own tests; a line is nobody's secret to those who lead.
create policy staff_scope on helpline.preflight_links for select to app_staff using (
    made_by = (select helpline.staff_id())
    or (select helpline.staff_role()) in ('team_lead', 'supervisor', 'admin', 'super_admin')
);
create policy staff_scope on helpline.preflights for select to app_staff using (
    staff_id = (select helpline.staff_id())
    or (select helpline.staff_role()) in ('team_lead', 'supervisor', 'admin', 'super_admin')
    or exists (select from helpline.preflight_links l where l.id = link_id)
);

do $$
declare
    target record;
begin
    for target in select rolname from pg_roles where rolname in ('anon', 'authenticated') loop
        execute format('revoke all on helpline.preflight_links, helpline.preflights from %I', target.rolname);
    end loop;
end
$$;
