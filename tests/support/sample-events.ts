type Content = Readonly<Record<string, unknown>>;

/** An event that both sides of an encrypted room exchange. */
export interface SampleEvent {
  readonly name: string;
  readonly type: string;
  /** `word` makes the event this test's own, and is what may not be found at the homeserver. */
  readonly content: (word: string) => Content;
}

/** Events of every shape that plain clients send. */
export const SAMPLE_EVENTS: readonly SampleEvent[] = [
  {
    name: "a text",
    type: "m.room.message",
    content: (word) => ({ msgtype: "m.text", body: `a text with ${word}` }),
  },
  {
    name: "a notice",
    type: "m.room.message",
    content: (word) => ({ msgtype: "m.notice", body: `a notice with ${word}` }),
  },
  {
    name: "a formatted emote",
    type: "m.room.message",
    content: (word) => ({
      msgtype: "m.emote",
      body: `waves ${word}`,
      format: "org.matrix.custom.html",
      formatted_body: `<b>waves</b> &amp; says "${word}"`,
    }),
  },
  {
    name: "text of many scripts",
    type: "m.room.message",
    content: (word) => ({
      msgtype: "m.text",
      body: `${word} ünï ไทย 漢字 שלום \u202eמימין\u202c 👩‍👩‍👧‍👦 \ud83c\udde9\ud83c\uddea a\u0301 \t\n\\u0041 "quoted" </script>`,
    }),
  },
  {
    name: "a custom event with nested content",
    type: "org.example.measurement",
    content: (word) => ({
      station: word,
      values: [1, -2, 0, { deep: { list: [[], {}, null, true, false, ""] } }],
      "dotted.key": { "m.like": "no" },
      integer: 9007199254740991,
    }),
  },
  {
    name: "30 kB of text",
    type: "m.room.message",
    content: (word) => ({ msgtype: "m.text", body: `${word} ${"0123456789".repeat(3_000)}` }),
  },
];
