-- Four roles, none of which can log in: grant them to your own users.
-- Roles belong to the server, not to a database, so this file is safe to run again and beside another deploy.
do $$
declare
    wanted text;
begin
    foreach wanted in array array['nearline_owner', 'nearline_engine', 'nearline_writer', 'nearline_reader'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            begin
                execute format('create role %I nologin', wanted);
                execute format('comment on role %I is %L', wanted, case wanted
                    when 'nearline_owner' then 'Nearline: owns schemas and functions; migrations run as this role.'
                    when 'nearline_engine' then 'Nearline: the jobs; read and write tables, publish models.'
                    when 'nearline_writer' then 'Nearline: applications that record events and exposures.'
                    when 'nearline_reader' then 'Nearline: applications that ask for recommendations; sees no raw event.'
                end);
            exception when duplicate_object or unique_violation then
                null;  -- another deploy, of another database on this server, was faster
            end;
        end if;
        -- Who may create roles is made an administrator of them, no more.
        if not pg_has_role(current_user, wanted, 'set') or not pg_has_role(current_user, wanted, 'usage') then
            execute format('grant %I to current_user with inherit true, set true', wanted);
        end if;
    end loop;
    if not pg_has_role('nearline_engine', 'nearline_reader', 'member')
       or not pg_has_role('nearline_engine', 'nearline_writer', 'member') then
        grant nearline_reader, nearline_writer to nearline_engine;
    end if;
    execute format('grant create on database %I to nearline_owner', current_database());
end
$$;
