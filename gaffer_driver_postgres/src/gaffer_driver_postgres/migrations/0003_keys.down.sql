DROP FUNCTION IF EXISTS {schema}.insert_keyed_1(json);
DROP FUNCTION IF EXISTS {schema}.settle_and_write_keyed_1(
    uuid[], integer[], text[], integer[], timestamptz[], timestamptz[], text[], text[], boolean,
    json
);
DROP FUNCTION IF EXISTS {schema}.write_keyed_1(json);
DROP FUNCTION IF EXISTS {schema}.take_keys_1(json);
DROP TABLE IF EXISTS {schema}.keys;
