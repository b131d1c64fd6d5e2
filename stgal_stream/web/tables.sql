-- The read model. Times are Unix seconds; append_s is when the log took what a row follows from.
CREATE TABLE position (topic TEXT, part INTEGER, next INTEGER, PRIMARY KEY (topic, part)) WITHOUT ROWID;
CREATE TABLE extractor (number INTEGER PRIMARY KEY, version TEXT, dimension INTEGER, UNIQUE (version, dimension));
-- Embedded detections whose tracklet is not known yet.
CREATE TABLE detection (
  site TEXT, id TEXT, extractor INTEGER, vector BLOB, weight REAL, append_s REAL,
  PRIMARY KEY (site, id)
) WITHOUT ROWID;
CREATE TABLE camera (
  site TEXT, name TEXT, first_s REAL, last_s REAL, detections INTEGER, append_s REAL,
  PRIMARY KEY (site, name)
) WITHOUT ROWID;
-- Tracklets. The vector of one is row `slot` of its extractor's files.
CREATE TABLE sighting (
  number INTEGER PRIMARY KEY, site TEXT, id TEXT, camera TEXT, start_s REAL, end_s REAL,
  identity TEXT, detections INTEGER, track TEXT, late_s REAL,
  crop_topic TEXT, crop_part INTEGER, crop_offset INTEGER,
  extractor INTEGER, slot INTEGER, append_s REAL, UNIQUE (site, id)
);
CREATE INDEX sighting_of_identity ON sighting (site, identity, start_s);
CREATE INDEX sighting_of_camera ON sighting (site, camera, start_s);
CREATE INDEX sighting_by_age ON sighting (append_s);
CREATE TABLE identity (
  site TEXT, id TEXT, first_s REAL, last_s REAL, sightings INTEGER, ended_s REAL, merged_into TEXT,
  append_s REAL, static_s REAL, PRIMARY KEY (site, id)
) WITHOUT ROWID;
CREATE INDEX identity_by_time ON identity (site, last_s DESC, id);
CREATE TABLE event (
  number INTEGER PRIMARY KEY, site TEXT, at_s REAL, kind TEXT, identity TEXT, from_id TEXT,
  sighting TEXT, evidence TEXT, correction TEXT, append_s REAL
);
CREATE INDEX event_of_identity ON event (site, identity, number);
CREATE INDEX event_of_sighting ON event (site, sighting, number);
CREATE INDEX event_from_identity ON event (site, from_id, number);
CREATE INDEX event_by_age ON event (append_s);
-- Accepted pairs of tracklets, their cameras in order.
CREATE TABLE pair (
  site TEXT, id TEXT, camera_a TEXT, camera_b TEXT, query TEXT, gallery TEXT, travel_s REAL,
  p_visual REAL, p_travel REAL, p_association REAL, at_s REAL, append_s REAL,
  PRIMARY KEY (site, id)
) WITHOUT ROWID;
CREATE INDEX pair_of_cameras ON pair (site, camera_a, camera_b, at_s);
CREATE INDEX pair_by_age ON pair (append_s);
CREATE TABLE calibration (number INTEGER PRIMARY KEY, site TEXT, at_s REAL, body TEXT, append_s REAL);
CREATE INDEX calibration_of_site ON calibration (site, number);
-- What each calibration had learned of two cameras; its body holds all of them.
CREATE TABLE past_median (
  site TEXT, camera_a TEXT, camera_b TEXT, calibration INTEGER, at_s REAL, associations INTEGER,
  median_s REAL, append_s REAL, PRIMARY KEY (site, camera_a, camera_b, calibration)
) WITHOUT ROWID;
CREATE INDEX past_median_by_age ON past_median (append_s);
-- What operators said, and why it was refused where it was.
CREATE TABLE correction (
  number INTEGER PRIMARY KEY, site TEXT, id TEXT, verdict TEXT, first TEXT, second TEXT, said_by TEXT,
  said_s REAL, refused TEXT, append_s REAL
);
CREATE INDEX correction_of_site ON correction (site, id, number);
-- Digests of sightings that were erased, so that nothing of them comes in by another topic.
CREATE TABLE erased (digest BLOB PRIMARY KEY, append_s REAL) WITHOUT ROWID;
CREATE TABLE refusal (
  site TEXT, camera TEXT, reason TEXT, n INTEGER, detail TEXT, append_s REAL,
  PRIMARY KEY (site, camera, reason)
) WITHOUT ROWID;
