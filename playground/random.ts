import { randomInt } from "node:crypto";

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const UPPER = LETTERS.slice(0, 26);

function pick(alphabet: string, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += alphabet.charAt(randomInt(alphabet.length));
  return text;
}

/** Random letters, for ids and tokens. */
export function randomLetters(length: number): string {
  return pick(LETTERS, length);
}

/** Random upper-case letters, as device ids are made. */
export function randomUpper(length: number): string {
  return pick(UPPER, length);
}
