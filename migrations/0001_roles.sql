-- Roles, the schema of everything that the integration guide does not name, and who the caller is.
--
-- Roles are cluster-wide, so another database may have made them already, even at this moment.

do $$
declare
    missing record;
begin
    for missing in
        select * from (values
            ('app_customer', 'nologin'), ('app_staff', 'nologin'), ('app_desk', 'nologin'),
            -- Without a password this one cannot log in from outside until somebody gives it one.
            ('helpline_app', 'login noinherit nobypassrls')
        ) as wanted (name, attributes)
        where not exists (select from pg_roles where rolname = name)
    loop
        begin
            execute format('create role %I %s', missing.name, missing.attributes);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;

-- The login role can become these three and is nothing by itself (noinherit).
grant app_customer, app_staff, app_desk to helpline_app;

-- A table of the guide's names that is not ours holds somebody's data: stop before touching anything.
do $$
declare
    name text;
begin
    foreach name in array array['support_staff', 'chat_sessions', 'chat_messages', 'voice_calls', 'webrtc_signaling',
        'call_queue', 'chat_queue', 'support_activity_logs', 'support_settings']
    loop
        if to_regclass('public.' || name) is not null
            and coalesce(obj_description(to_regclass('public.' || name), 'pg_class'), '') not like 'helpline:%' then
            raise exception 'public.% exists and was not made by Helpline; move it away before migrating', name;
        end if;
    end loop;
end
$$;

create schema if not exists helpline;
grant usage on schema helpline to app_customer, app_staff, app_desk;
grant usage on schema public to app_customer, app_staff, app_desk;

-- Who is asking. Decided by current_user and never by fallback: our roles are told by the desk, a Supabase client
-- proves itself by its verified claims. After a transaction-local set_config the value is '', not null.
create function helpline.uid() returns text
language sql stable
set search_path = pg_catalog, pg_temp
return case current_user
    when 'app_customer' then nullif(current_setting('app.user_id', true), '')
    when 'authenticated' then nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
end;
