-- The role that the server logs in as, with its password. It owns nothing: `helpline migrate up` grants it what it may.
-- The image of PostgreSQL runs this once, on an empty volume, as the superuser.
\getenv password HELPLINE_APP_PASSWORD
create role helpline_app login noinherit nobypassrls password :'password';
