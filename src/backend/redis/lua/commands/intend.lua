-- Writes down what is to go to several shards: ask.intent { id, count, parts }, ask.once. The answer: `base`, the first of its
-- stamps, or `seen`, what a repeat is answered.

local seen = ask.once and onceAnswer(ask.once)
if seen then return answer({ seen = seen }) end
return answer({ base = intend(ask.intent, ask.once) })
