-- Token ids begin with the time, so contexts are added at the end. Times are milliseconds since 1970.
create table contexts (
    token text not null,
    app text not null,
    expires_at integer not null,
    sealed blob not null,
    primary key (token, app)
) strict, without rowid;
create index contexts_by_expiry on contexts (expires_at);

create table uses (
    token text not null,
    app text not null,
    until integer not null,
    primary key (token, app)
) strict, without rowid;
create index uses_by_expiry on uses (until);

create table owners (
    app text not null,
    conversation text not null,
    end_user text not null,
    primary key (app, conversation)
) strict, without rowid;
create index owners_by_user on owners (app, end_user);

-- Marks are never given twice, also after the last one was swept.
create table revocations (
    mark integer primary key autoincrement,
    revocation text not null,
    until integer not null
) strict;
create index revocations_by_expiry on revocations (until);

-- Written to find out whether there is room.
create table probe (
    id integer primary key,
    filling blob not null
) strict;

-- The registry beside the configuration file; documents are JSON.
create table entries (
    kind text not null,
    id text not null,
    revision integer not null,
    document text not null,
    primary key (kind, id)
) strict, without rowid;

-- How often entries have changed.
create table generation (
    id integer primary key check (id = 1),
    changes integer not null
) strict;
insert into generation (id, changes) values (1, 0);
