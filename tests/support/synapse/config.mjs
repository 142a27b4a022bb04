// Synapse's configuration in two variants: `synapse` with every limit lifted, so that tests are quick
// and nothing is cached, and `synapse-defaults` with the settings a fresh Synapse has: rate limits,
// a response cache of two minutes, presence. (YAML is a superset of JSON: the files are JSON.)
import { randomBytes } from "node:crypto";

export const SERVER_NAME = "kirjava.test";

/** Registrations a run can hand out; each test that needs one takes its own and never gives it back. */
export const APPSERVICES = 24;

const UNLIMITED = { per_second: 1_000_000, burst_count: 1_000_000 };

const LIFTED = {
  rc_message: UNLIMITED,
  rc_registration: UNLIMITED,
  rc_registration_token_validity: UNLIMITED,
  rc_login: { address: UNLIMITED, account: UNLIMITED, failed_attempts: UNLIMITED },
  rc_admin_redaction: UNLIMITED,
  rc_joins: { local: UNLIMITED, remote: UNLIMITED },
  rc_joins_per_room: UNLIMITED,
  rc_key_requests: UNLIMITED,
  rc_invites: { per_room: UNLIMITED, per_user: UNLIMITED, per_issuer: UNLIMITED },
  rc_media_create: UNLIMITED,
  rc_presence: { per_user: UNLIMITED },
  rc_delayed_event_mgmt: UNLIMITED,
  rc_room_creation: UNLIMITED,
  rc_user_directory: UNLIMITED,
  bcrypt_rounds: 4,
  filter_timeline_limit: -1,
  caches: { sync_response_cache_duration: 0 },
  presence: { enabled: false },
};

/** The configuration of one Synapse whose files are in `inside`, a path as the chroot sees it. */
export function homeserverConfig({ variant, inside, port, sharedSecret }) {
  return {
    server_name: SERVER_NAME,
    public_baseurl: `http://127.0.0.1:${port}/`,
    serve_client_wellknown: true,
    listeners: [
      {
        port,
        type: "http",
        tls: false,
        bind_addresses: ["127.0.0.1"],
        // As behind any reverse proxy. Lets a test log in as from an address of its own, where the
        // default limit is five log-ins from one address.
        x_forwarded: true,
        resources: [{ names: ["client", "media"] }],
      },
    ],
    database: { name: "sqlite3", args: { database: `${inside}/homeserver.db` } },
    log_config: `${inside}/log.yaml`,
    pid_file: `${inside}/homeserver.pid`,
    signing_key_path: `${inside}/signing.key`,
    media_store_path: `${inside}/media`,
    macaroon_secret_key: randomBytes(16).toString("hex"),
    form_secret: randomBytes(16).toString("hex"),
    registration_shared_secret: sharedSecret,
    enable_registration: true,
    enable_registration_without_verification: true,
    report_stats: false,
    // Nothing leaves the machine.
    trusted_key_servers: [],
    suppress_key_server_warning: true,
    federation_domain_whitelist: [],
    max_event_delay_duration: "24h",
    app_service_config_files: Array.from(
      { length: APPSERVICES },
      (_, index) => `${inside}/appservice-${index}.yaml`,
    ),
    experimental_features: {
      msc2409_to_device_messages_enabled: true,
      msc3202_transaction_extensions: true,
    },
    ...(variant === "synapse" ? LIFTED : {}),
  };
}

/** Warnings only: at its usual level Synapse writes several lines for each request. */
export function logConfig(inside) {
  return {
    version: 1,
    formatters: { plain: { format: "%(asctime)s %(levelname)s %(name)s: %(message)s" } },
    handlers: {
      file: {
        class: "logging.FileHandler",
        filename: `${inside}/homeserver.log`,
        formatter: "plain",
      },
    },
    root: { level: "WARNING", handlers: ["file"] },
    // Complains about each appservice beyond the first.
    loggers: { "synapse.util.metrics": { level: "CRITICAL" } },
    disable_existing_loggers: false,
  };
}

/** An appservice registration whose transactions go to `port`: `{ yaml, connection }`. */
export function registration(index, port) {
  const id = `appservice${index}`;
  const asToken = randomBytes(16).toString("hex");
  const hsToken = randomBytes(16).toString("hex");
  const userPrefix = `_as${index}_`;
  const senderLocalpart = `_as${index}bot`;
  return {
    yaml: {
      id,
      url: `http://127.0.0.1:${port}`,
      as_token: asToken,
      hs_token: hsToken,
      sender_localpart: senderLocalpart,
      rate_limited: false,
      receive_ephemeral: true,
      "de.sorunome.msc2409.push_ephemeral": true,
      "org.matrix.msc3202": true,
      namespaces: {
        users: [{ exclusive: true, regex: `@${userPrefix}.*:${SERVER_NAME.replace(".", "\\.")}` }],
        aliases: [
          { exclusive: true, regex: `#${userPrefix}.*:${SERVER_NAME.replace(".", "\\.")}` },
        ],
        rooms: [],
      },
    },
    connection: { id, port, asToken, hsToken, senderLocalpart, userPrefix },
  };
}
