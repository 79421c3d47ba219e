-- What the adapter `postgres` keeps, and its writes, each in one round trip. {table} is the name of the table.
-- A write takes the lock of its key until its transaction ends, also while the key is not there yet.

CREATE TABLE IF NOT EXISTS "{table}" (
    scope_id bytea NOT NULL,  -- sha256 of the scope: names may be longer than an index entry
    key_id bytea NOT NULL,    -- sha256 of the key
    created bigint GENERATED ALWAYS AS IDENTITY,
    scope text NOT NULL,      -- a backslash is written as two, NUL as \0
    key text NOT NULL,        -- in the same way
    value text NOT NULL,      -- JSON as it came
    PRIMARY KEY (scope_id, key_id)
);

CREATE INDEX IF NOT EXISTS "{table}_created" ON "{table}" (scope_id, created);

CREATE OR REPLACE FUNCTION "{table}_set"(
    key_lock bigint, of_scope bytea, of_key bytea, new_scope text, new_key text, new_value text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    there text;
BEGIN
    PERFORM pg_advisory_xact_lock(key_lock);
    SELECT value INTO there FROM "{table}" WHERE scope_id = of_scope AND key_id = of_key;
    IF FOUND THEN
        UPDATE "{table}" SET value = new_value WHERE scope_id = of_scope AND key_id = of_key;
    ELSE
        INSERT INTO "{table}" (scope_id, key_id, scope, key, value)
        VALUES (of_scope, of_key, new_scope, new_key, new_value);
    END IF;
    RETURN there;
END
$$;

CREATE OR REPLACE FUNCTION "{table}_delete"(key_lock bigint, of_scope bytea, of_key bytea)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    there text;
BEGIN
    PERFORM pg_advisory_xact_lock(key_lock);
    DELETE FROM "{table}" WHERE scope_id = of_scope AND key_id = of_key RETURNING value INTO there;
    RETURN there;
END
$$;

-- `expected`: NULL for nothing. Nothing is done unless that is what is there, which is returned.
CREATE OR REPLACE FUNCTION "{table}_swap"(
    key_lock bigint, of_scope bytea, of_key bytea, new_scope text, new_key text, expected text, new_value text,
    OUT done boolean, OUT there text
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(key_lock);
    SELECT value INTO there FROM "{table}" WHERE scope_id = of_scope AND key_id = of_key;
    done := there IS NOT DISTINCT FROM expected;
    IF NOT done THEN
        RETURN;
    ELSIF FOUND THEN
        UPDATE "{table}" SET value = new_value WHERE scope_id = of_scope AND key_id = of_key;
    ELSE
        INSERT INTO "{table}" (scope_id, key_id, scope, key, value)
        VALUES (of_scope, of_key, new_scope, new_key, new_value);
    END IF;
END
$$;
