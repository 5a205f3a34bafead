-- What a group with the key ask.key and ask.fingerprint is answered; false when it is the first.

return answer(onceAnswer(ask) or false)
