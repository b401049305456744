// Conversations as text, by what the bundle's chat.json puts around turns.
import { assert } from './errors.js';

export function chatText(format, messages) {
  assert(format, 'input', 'the model has no chat format: give a text instead of messages');
  for (const { role, content } of messages) {
    const known = ['system', 'user', 'assistant'].includes(role);
    assert(known && typeof content === 'string', 'input',
      'messages are {role: "system" | "user" | "assistant", content: string}');
  }
  const turn = (role, text) =>
    `${format[role]?.prefix ?? ''}${text}${format[role]?.suffix ?? ''}`;
  const given = messages.find((m) => m.role === 'system')?.content;
  const system = given ?? (format.default_system || undefined);
  let pending = system !== undefined && format.system ? turn('system', system) : '';
  let text = '';
  if (!format.system_in_user) {
    text += pending;
    pending = '';
  }
  for (const { role, content } of messages) {
    if (role === 'system') continue;
    const inside = role === 'user' ? pending : '';
    text += turn(role, inside + content);
    pending = '';
  }
  return text + (format.assistant?.prefix ?? '');
}
