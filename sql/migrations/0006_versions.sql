-- How well the index of a version finds what an exact search finds.
set local role nearline_owner;

alter table nearline_data.model_version add column index_recall real check (index_recall between 0 and 1);
comment on column nearline_data.model_version.index_recall is 'Share of the ten nearest items of an exact search that its index finds too, on a sample; null: not measured since it was loaded.';
