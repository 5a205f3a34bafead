-- An intent that is not fulfilled, as it was written, or false. ask.id.

return answer(call('HGET', prefix .. 'intents', ask.id))
