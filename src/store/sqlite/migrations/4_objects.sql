-- What an API keeps for its callers, such as widgets. Ids begin with the time; labels are JSON. Documents may
-- be long, so rows have a number of their own, by which indexes find them.
create table objects (
    kind text not null,
    id text not null,
    app text not null,
    revision integer not null,
    parent text,
    labels text not null,
    document text not null,
    primary key (kind, id)
) strict;

-- In which lists an object stands: that of all objects of a kind that an app has, that of its parent, one for
-- each label. A list's name is a digest of these.
create table object_lists (
    list blob not null,
    id text not null,
    primary key (list, id)
) strict, without rowid;

-- When each object has changed last, by a number that grows. A removed one stays for a time, which is in
-- milliseconds since 1970.
create table object_changes (
    kind text not null,
    id text not null,
    changed integer not null,
    removed_at integer,
    primary key (kind, id)
) strict, without rowid;
create index object_changes_in_order on object_changes (changed);
create index object_changes_by_removal on object_changes (removed_at) where removed_at is not null;

-- How often objects have changed.
create table object_generation (
    id integer primary key check (id = 1),
    changes integer not null
) strict;
insert into object_generation (id, changes) values (1, 0);

-- How much widgets were used.
create table object_usage (
    widget text not null,
    sessions integer not null,
    messages integer not null,
    refused integer not null,
    bytes integer not null,
    primary key (widget)
) strict, without rowid;
