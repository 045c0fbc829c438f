-- Apps and service tokens beside the configuration file; documents are JSON. Ids are compared byte by
-- byte, whatever the database's collation is.
create table entries (
    kind text not null,
    id text collate "C" not null,
    revision bigint not null,
    document text not null,
    primary key (kind, id)
);

-- How often entries have changed: one row.
create table generation (
    id integer primary key check (id = 1),
    changes bigint not null
);
insert into generation (id, changes) values (1, 0);
