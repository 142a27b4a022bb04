/** A namespace of a registration. */
export interface Namespace {
  readonly exclusive: boolean;
  readonly regex: string;
}

/**
 * A registration, with the members of the registration file.
 *
 * @see https://spec.matrix.org/v1.16/application-service-api/#registration
 */
export interface AppserviceRegistration {
  readonly id: string;
  /** Null: nothing is pushed. */
  readonly url: string | null;
  readonly as_token: string;
  readonly hs_token: string;
  readonly sender_localpart: string;
  readonly namespaces: {
    readonly users?: readonly Namespace[];
    readonly rooms?: readonly Namespace[];
    readonly aliases?: readonly Namespace[];
  };
  readonly receive_ephemeral?: boolean;
  readonly "de.sorunome.msc2409.push_ephemeral"?: boolean;
  readonly "org.matrix.msc3202"?: boolean;
  readonly "io.element.msc4190"?: boolean;
}

/** A registered appservice. */
export class Appservice {
  readonly registration: AppserviceRegistration;
  readonly senderId: string;
  readonly #users: readonly RegExp[];
  readonly #rooms: readonly RegExp[];
  readonly #aliases: readonly RegExp[];

  constructor(registration: AppserviceRegistration, serverName: string) {
    this.registration = registration;
    this.senderId = `@${registration.sender_localpart}:${serverName}`;
    this.#users = compile(registration.namespaces.users);
    this.#rooms = compile(registration.namespaces.rooms);
    this.#aliases = compile(registration.namespaces.aliases);
  }

  /** Whether the user is the sender or of the namespace. */
  ownsUser(userId: string): boolean {
    return userId === this.senderId || this.#users.some((regex) => regex.test(userId));
  }

  /** Whether the room is of the namespace. */
  ownsRoom(roomId: string): boolean {
    return this.#rooms.some((regex) => regex.test(roomId));
  }

  /** Whether the alias is of the namespace. */
  ownsAlias(alias: string): boolean {
    return this.#aliases.some((regex) => regex.test(alias));
  }
}

/** The registered appservices. */
export class Appservices {
  readonly byId = new Map<string, Appservice>();

  /** The appservice of an as_token, or null. */
  byToken(token: string): Appservice | null {
    for (const appservice of this.byId.values()) {
      if (appservice.registration.as_token === token) return appservice;
    }
    return null;
  }
}

// Synapse matches namespaces from the start of the id only
function compile(namespaces: readonly Namespace[] = []): RegExp[] {
  return namespaces.map((namespace) => new RegExp(`^(?:${namespace.regex})`));
}
