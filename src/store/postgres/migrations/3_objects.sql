-- What an API keeps for its callers, such as widgets. Ids begin with the time; labels are JSON.
create table objects (
    kind text not null,
    id text collate "C" not null,
    app text not null,
    revision bigint not null,
    parent text,
    labels text not null,
    document text not null,
    primary key (kind, id)
);

-- In which lists an object stands: that of all objects of a kind that an app has, that of its parent, one for
-- each label. A list's name is a digest of these.
create table object_lists (
    list bytea not null,
    id text collate "C" not null,
    primary key (list, id)
);

-- When each object has changed last, by a number that grows. A removed one stays for a time.
create table object_changes (
    kind text not null,
    id text collate "C" not null,
    changed bigint not null,
    removed_at timestamptz,
    primary key (kind, id)
);
create index object_changes_in_order on object_changes (changed);
create index object_changes_by_removal on object_changes (removed_at) where removed_at is not null;

-- The number of the latest change: one row.
create table object_generation (
    id integer primary key check (id = 1),
    changes bigint not null
);
insert into object_generation (id, changes) values (1, 0);

-- How much widgets were used; it goes with its widget.
create table object_usage (
    kind text not null default 'widget' check (kind = 'widget'),
    widget text collate "C" not null,
    sessions bigint not null,
    messages bigint not null,
    refused bigint not null,
    bytes bigint not null,
    primary key (kind, widget),
    foreign key (kind, widget) references objects (kind, id) on delete cascade
);
