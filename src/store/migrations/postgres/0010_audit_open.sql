-- Rows of the audit that wait for their seal, so that the sealer need not look for them. A trigger writes them, for
-- servers of the version before too.
CREATE TABLE audit_open (
    n BIGINT PRIMARY KEY
);
CREATE FUNCTION audit_is_open() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_open (n) VALUES (NEW.n);
    RETURN NULL;
END $$;
CREATE TRIGGER audit_opens AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_is_open();
INSERT INTO audit_open (n)
SELECT n FROM audit a WHERE NOT EXISTS (SELECT 1 FROM audit_seal s WHERE s.n = a.n)
ON CONFLICT DO NOTHING;
