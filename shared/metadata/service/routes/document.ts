import { z } from 'zod'
import { isProblemCode, PROBLEMS, ServiceError } from '../problems.ts'
import { defineRoute, type Route } from '../route.ts'
import { problemType } from '../wire/problem.ts'

const getDocument = defineRoute({
  operationId: 'getOpenApi',
  method: 'GET',
  path: '/openapi.json',
  summary: 'This document.',
  permission: null,
  answers: { 200: { description: 'OpenAPI 3.1.', schema: z.looseObject({ openapi: z.string() }) } },
  problems: [],
  handle: async (_request, { document }) => ({ status: 200, body: document() }),
})

const getProblem = defineRoute({
  operationId: 'getProblemType',
  method: 'GET',
  path: '/problems/{code}',
  summary: 'What a problem type means.',
  permission: null,
  params: z.strictObject({ code: z.string().max(100) }),
  answers: { 200: { description: 'The type.', schema: problemType } },
  problems: ['no-record'],
  async handle({ params: { code } }) {
    if (!isProblemCode(code))
      throw new ServiceError('no-record', 'problem: expected a type of this service, got another')
    return { status: 200, body: { code, ...PROBLEMS[code] } }
  },
})

export const DOCUMENT_ROUTES: readonly Route[] = [getDocument, getProblem]
