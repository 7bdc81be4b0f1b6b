-- How long an erasure is remembered.
set local role nearline_owner;

comment on table nearline_data.erased_user is 'Erasures that cursors still have to pass, as a refresh may have been at work on the person; housekeeping forgets them after a day, and when all versions that are kept have read them.';
